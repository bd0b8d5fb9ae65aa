"""What rollout.overlap gains: iterations of one cell with and without it, in turns, on the clock.

    OMP_NUM_THREADS=1 python -m benchmarks.overlap                     # model=tiny, about five minutes
    OMP_NUM_THREADS=1 python -m benchmarks.overlap 4 KEY=VALUE ...     # so many rounds; overrides of the cell

Needs two cores that are idle otherwise: seconds are the clock's, as processor seconds can't overlap. At most:
if neither thread disturbed the other, an iteration would take as long as the longer of its two halves.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness.compose import compose_run
from harness.run import Run
from harness.store import RunDir

ROUNDS = 6
CELL = ["algorithm=grpo", "budget.limit=1e18", "model.clone_updates=100"]
"""128 episodes and four optimiser steps an iteration, on the vault, after a short warm start."""
WIDTHS = (64, 256)
"""Of model=tiny: the default, and one whose products take long enough to matter beside Python's own work."""


def run_of(folder: Path, overrides: Sequence[str], overlap: bool) -> Run:
    """A run after its first iteration, whose rollout nothing hides."""
    config = compose_run([*CELL, *overrides, f"rollout.overlap={overlap}"])
    run = Run(config, RunDir.create(folder, config), folder)
    run._iterate()
    return run


def measured(overrides: Sequence[str], rounds: int) -> str:
    """A line of the table: both runs iterate in turns."""
    with tempfile.TemporaryDirectory() as folder:
        off, on = (run_of(Path(folder), overrides, overlap) for overlap in (False, True))
        seconds: list[tuple[float, float]] = []
        for _ in range(rounds):
            start = time.perf_counter()
            off._iterate()
            between = time.perf_counter()
            on._iterate()
            seconds.append((between - start, time.perf_counter() - between))
        apart, hidden = times(off)[1:], times(on)[1:]
    rollout, update = (sum(row[part] for row in apart) / rounds for part in ("rollout", "update"))
    alone, together = (sum(each) / rounds for each in zip(*seconds, strict=True))
    ratios = sorted(before / after for before, after in seconds)
    behind = sum(row["rollout_hidden"] for row in hidden) / rounds
    updating = sum(row["update"] for row in hidden) / rounds
    return (
        f"| {' '.join(overrides)} | {rollout:.2f} | {update:.2f} | {alone:.2f} | {updating:.2f} | "
        f"{behind:.2f} | {together:.2f} | {alone / together:.2f} x ({ratios[0]:.2f} to {ratios[-1]:.2f}) | "
        f"{alone / max(rollout, update):.2f} x |"
    )


def times(run: Run) -> list[dict[str, float]]:
    """The timing of a run's iterations."""
    return [json.loads(line) for line in run.run_dir.timing.open()]


def main() -> int:
    """Print the table."""
    rounds, *overrides = sys.argv[1:] or [str(ROUNDS)]
    print(f"load average {os.getloadavg()[0]:.1f} before; seconds, means of {rounds} iterations\n")
    print("| cell | rollout | update | off | update, on | hidden | on | off / on | at most |")
    print(f"|---|{'---:|' * 8}")
    cells = [overrides] if overrides else [[f"model.width={width}"] for width in WIDTHS]
    for cell in cells:
        print(measured(cell, int(rounds)), flush=True)
    print(f"\nload average {os.getloadavg()[0]:.1f} after, this process's two threads included")
    return 0


if __name__ == "__main__":
    sys.exit(main())
