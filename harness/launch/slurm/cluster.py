"""What SLURM is asked and told. Works with and without accounting: `sacct` is never needed."""

import contextlib
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Iterator

from harness.errors import UserError

DEADLINE_SECONDS = 60.0
"""For one command; a controller that is down is given up by its clients after some ten seconds."""
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)
"""States in which a job does nothing more; SLURM forgets it some minutes later."""
CANCELLED_AT_ONCE = 500
"""Job ids in one scancel: a command line has an end."""


class Unreachable(Exception):
    """SLURM did not answer: nothing is known, least of all that a job is dead."""


def require_slurm() -> None:
    """Raise `UserError` where SLURM's commands are not on the path."""
    missing = [name for name in ("sbatch", "squeue", "scontrol", "scancel") if not shutil.which(name)]
    if missing:
        raise UserError(
            f"launcher=slurm needs {', '.join(missing)} on the path: run it on a login node of the cluster, "
            "or choose launcher=local"
        )


def ask(*command: str) -> str:
    """What a command of SLURM's prints; raise `Unreachable` with its reason."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{command[0]} gave no answer in {DEADLINE_SECONDS:.0f} s") from error
    except OSError as error:
        raise Unreachable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise Unreachable(" ".join(done.stderr.split()) or f"{command[0]} failed with code {done.returncode}")
    return done.stdout


def alive(names: Collection[str]) -> dict[str, set[int]]:
    """The array indices of the jobs with these names that wait or run; a job that is no array has index 0."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    if names:
        for line in ask("squeue", "-h", "-r", "-o", "%T|%K|%j", f"--name={','.join(names)}").splitlines():
            state, index, name = line.split("|", 2)
            if state not in ENDED:
                found[name].add(int(index) if index.isdigit() else 0)
    return dict(found)


def cancel(names: Collection[str]) -> int:
    """Cancel the jobs with these names; returns how many there were, an array's elements counted singly."""
    listed = ask("squeue", "-h", "-r", "-o", "%i", f"--name={','.join(names)}").split() if names else []
    for first in range(0, len(listed), CANCELLED_AT_ONCE):
        ask("scancel", *listed[first : first + CANCELLED_AT_ONCE])
    return len(listed)


def largest_array() -> int:
    """Most elements of one job array."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
    # The largest index is one less than MaxArraySize, the first one is 0.
    return int(found[1]) if found else 1001


@contextlib.contextmanager
def own_environment() -> Iterator[None]:
    """Without the variables of a job that this process may be part of: sbatch would take them for options."""
    kept = dict(os.environ)
    for name in kept:
        if name.startswith(("SLURM_", "SBATCH_")) and name != "SLURM_CONF":
            del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)
