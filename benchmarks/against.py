"""What a run costs here and in an earlier commit, and whether both write the same numbers.

    OMP_NUM_THREADS=1 python -m benchmarks.against REV [OVERRIDE ...]        # [env=textworld]

`python -m harness.run` with the overrides, one checkout after the other in turns. Processor seconds of the
whole process, the start of Python included; the ratio of each turn, their mean and their spread. An iteration
of each checkout comes first and is not counted: it leaves what is made once for many cells (games, and the
warm start, which all arms of a seed share).
"""

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from harness.errors import UserError
from harness.terminal import command

TURNS = 3
DEFAULT = ["env=textworld"]
HERE = Path(__file__).parents[1]
ONE_ITERATION = "budget.limit=1"
RUNS = Path("runs/single/runs")
"""Where `harness.run` keeps its runs, from the working directory; the warm starts lie beside it."""


@dataclass(frozen=True)
class Ran:
    """What one run took and wrote."""

    seconds: float
    metrics: str
    """SHA-256 of its `metrics.jsonl`."""


@command("benchmarks.against")
def main(arguments: list[str]) -> int:
    """The command line; returns the exit code."""
    if not arguments:
        raise UserError("which commit to measure against? python -m benchmarks.against REV [OVERRIDE ...]")
    revision, overrides = arguments[0], arguments[1:] or DEFAULT
    with tempfile.TemporaryDirectory() as folder:
        then = Path(folder) / "checkout"
        git("worktree", "add", "--detach", str(then), revision)
        try:
            compare(revision, then, overrides)
        finally:
            git("worktree", "remove", "--force", str(then))
    return 0


def compare(revision: str, then: Path, overrides: list[str]) -> None:
    """Print each turn, and what all of them come to."""
    before, here = Contestant(then), Contestant(HERE)
    for contestant in (before, here):
        contestant.run([*overrides, ONE_ITERATION])
    ratios, same = [], True
    for turn in range(TURNS):
        first, second = before.run(overrides), here.run(overrides)
        ratios.append(second.seconds / first.seconds)
        same = same and first.metrics == second.metrics
        print(
            f"turn {turn + 1}: {first.seconds:.1f} s in {revision}, {second.seconds:.1f} s here, "
            f"ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(
        f"ratio {mean(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), "
        f"metrics.jsonl {'byte-identical' if same else 'different'}: {' '.join(overrides)}"
    )


class Contestant:
    """A checkout, and a folder in which its runs leave the warm start to the next one."""

    def __init__(self, checkout: Path) -> None:
        self.checkout = checkout
        self._folder = tempfile.TemporaryDirectory()

    def run(self, overrides: list[str]) -> Ran:
        """A run from its beginning."""
        runs = Path(self._folder.name) / RUNS
        shutil.rmtree(runs, ignore_errors=True)
        before = processor_seconds()
        python(self.checkout, Path(self._folder.name), "-m", "harness.run", *overrides)
        seconds = processor_seconds() - before
        (metrics,) = runs.glob("*/metrics.jsonl")
        return Ran(seconds, hashlib.sha256(metrics.read_bytes()).hexdigest())


def python(checkout: Path, folder: Path, *arguments: str) -> None:
    """Python with a checkout's packages, in a working directory."""
    ended = subprocess.run(
        [sys.executable, "-P", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    if ended.returncode:
        raise UserError(f"{' '.join(arguments)} failed in {checkout}: {ended.stderr.strip()[-400:]}")


def processor_seconds() -> float:
    """User and system seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def git(*arguments: str) -> None:
    """A git command on this checkout."""
    ended = subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True)
    if ended.returncode:
        raise UserError(f"git {' '.join(arguments)}: {ended.stderr.strip().splitlines()[-1]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
