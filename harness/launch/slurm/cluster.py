"""What SLURM is asked and told. Works with and without accounting: `sacct` is never needed.

Every command runs in one environment (`environment`), in which neither the user's defaults for squeue, sinfo
and scancel nor the variables of a job around this process have a part. What does not answer says nothing.
"""

import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from harness.errors import UserError

DEADLINE_SECONDS = 60.0
"""For one command; a controller that is down is given up by its clients after some ten seconds."""
COMMANDS = ("sbatch", "srun", "squeue", "sinfo", "scontrol", "scancel")
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)
"""States in which a job does nothing more; SLURM forgets it some minutes later."""
CANCELLED_AT_ONCE = 500
"""Job ids in one scancel: a command line has an end."""
TURNING = ("SQUEUE_", "SINFO_", "SCANCEL_", "SCONTROL_", "SRUN_", "SBATCH_", "SLURM_")
"""Variables that begin so change what SLURM's commands do, or describe a job around this process."""
PLACE = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
"""Say where the cluster is and who asks."""
ELSEWHERE = ("SLURM_CLUSTERS", "SBATCH_CLUSTERS")


class Unreachable(UserError):
    """SLURM did not answer: nothing is known, least of all that a job is dead."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"SLURM does not answer ({reason}): nothing was done, try again when it does")
        self.reason = reason


@dataclass(frozen=True)
class Element:
    """A job of an array, as squeue has it."""

    state: str
    reason: str
    """Why it waits; empty if squeue gives none."""

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.state not in ENDED

    @property
    def waits(self) -> bool:
        """Whether it has yet to start."""
        return self.state == "PENDING"


@dataclass(frozen=True)
class Array:
    """The jobs of one name. One that is not an array has index 0."""

    job: str
    """The array's job id."""
    elements: dict[int, Element] = field(default_factory=dict)

    REST = -1
    """The index of a line that stands for all elements without one of their own, as those that were cancelled
    before they started."""

    def element(self, index: int) -> Element | None:
        """An element; None if squeue has none of that index."""
        return self.elements.get(index, self.elements.get(self.REST))


def require_slurm() -> None:
    """Raise `UserError` if SLURM's commands are not on the path, or are meant for other clusters."""
    missing = [name for name in COMMANDS if not shutil.which(name)]
    if missing:
        raise UserError(
            f"launcher=slurm needs {', '.join(missing)} on the path: run it on a login node of the cluster, "
            "or choose launcher=local"
        )
    for name in ELSEWHERE:
        if name in os.environ:
            raise UserError(
                f"{name}={os.environ[name]} sends jobs to other clusters than this login node's, where "
                f"launcher=slurm can't follow them: unset {name}"
            )


def environment() -> dict[str, str]:
    """This process's environment without what would change the meaning of a command of SLURM's."""
    return {
        name: value for name, value in os.environ.items() if name in PLACE or not name.startswith(TURNING)
    }


def ask(*command: str, defaults: Mapping[str, str] | None = None) -> str:
    """What a command of SLURM's prints; raise `Unreachable` with its reason.

    `defaults`: variables that are meant for it.
    """
    try:
        done = subprocess.run(
            command,
            env={**environment(), **(defaults or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{command[0]} gave no answer in {DEADLINE_SECONDS:.0f} s") from error
    except OSError as error:
        raise Unreachable(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise Unreachable(" ".join(done.stderr.split()) or f"{command[0]} failed with code {done.returncode}")
    return done.stdout


def table(*command: str, columns: str) -> list[list[str]]:
    """The lines that squeue or sinfo prints in `columns`, a format with `|` between them.

    Asks for the header as well: an output without one is a missing answer, not an empty table.
    """
    header, *lines = ask(*command, "-o", columns).splitlines() or [""]
    count = columns.count("|")
    if header.count("|") != count:
        raise Unreachable(f"{command[0]} printed no table")
    return [line.split("|", count) for line in lines]


def queue(names: Collection[str]) -> dict[str, Array]:
    """The jobs with these names that SLURM knows, those that ended some minutes ago included.

    Raises `Unreachable` if squeue does not answer: only then is a missing name no denial.
    """
    if not names:
        return {}
    # All partitions, hidden ones too, and all states: its defaults leave out some.
    lines = table(
        *("squeue", "--all", "--states=all", "--array", f"--name={','.join(names)}"),
        columns="%T|%K|%F|%r|%j",
    )
    jobs: dict[str, str] = {}
    found: defaultdict[str, dict[int, Element]] = defaultdict(dict)
    for state, index, job, reason, name in lines:
        jobs[name] = job
        place = int(index) if index.isdigit() else Array.REST
        found[name][place] = Element(state, "" if reason == "None" else reason)
    return {name: Array(jobs[name], elements) for name, elements in found.items()}


def cancel(names: Collection[str]) -> int:
    """Cancel the jobs with these names; returns how many there were, an array's elements counted singly."""
    alive = [
        f"{array.job}_{index}" if index > Array.REST else array.job
        for array in queue(names).values()
        for index, element in array.elements.items()
        if element.alive
    ]
    for first in range(0, len(alive), CANCELLED_AT_ONCE):
        ask("scancel", *alive[first : first + CANCELLED_AT_ONCE])
    return len(alive)


def largest_array() -> int:
    """Most elements of one job array."""
    found = re.search(r"MaxArraySize\s*=\s*(\d+)", ask("scontrol", "show", "config"))
    if not found:
        raise Unreachable("scontrol show config names no MaxArraySize")
    # The largest index is one less than MaxArraySize, the first one is 0.
    return max(1, int(found[1]))


@dataclass(frozen=True)
class Partition:
    """A partition."""

    name: str
    default: bool
    minutes: float
    """Most minutes of a job; infinite without a limit."""


def partitions() -> list[Partition]:
    """All partitions, hidden ones included."""
    lines = table("sinfo", "--all", columns="%l|%P")
    return list(
        dict.fromkeys(Partition(name.rstrip("*"), name.endswith("*"), limit(time)) for time, name in lines)
    )


def limit(text: str) -> float:
    """A partition's time limit in minutes; infinite if it isn't understood, as nothing is known of one."""
    try:
        return minutes(text)
    except ValueError:
        return float("inf")


def minutes(text: str) -> float:
    """A time as SLURM writes it, in minutes; infinite if it names none. Raises ValueError for other text.

    MINUTES[:SECONDS], HOURS:MINUTES:SECONDS or DAYS-HOURS[:MINUTES[:SECONDS]], as in `man sbatch`, --time.
    """
    if text.lower() in ("infinite", "unlimited", "not_set", "n/a", "-1"):
        return float("inf")
    days, dash, rest = text.rpartition("-")
    parts = [int(part) for part in rest.split(":")]
    if not 1 <= len(parts) <= 3 or min(parts) < 0:
        raise ValueError(f"{text} is not a time of SLURM's")
    # From the left: hours after days, minutes if there are no hours.
    if not dash and len(parts) < 3:
        parts = [0, *parts]
    hours, mins, seconds = [*parts, 0, 0][:3]
    return 24 * 60 * int(days or 0) + 60 * hours + mins + seconds / 60
