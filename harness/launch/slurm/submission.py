"""What was submitted: one file per array, `slurm/NAME.json` of the sweep's directory.

It is written before the array is submitted, under a name that no other array has, so that a command that dies
in between leaves nothing that SLURM runs and the next command does not know.
"""

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from harness.errors import UserError
from harness.launch.slurm.sbatch import log_name
from harness.store import read_json, write_json

LONGEST = 40
"""Characters of a sweep's name in the name of its jobs."""


@dataclass(frozen=True)
class Submission:
    """A job array."""

    name: str
    """The jobs' name in SLURM."""
    tasks: tuple[tuple[str, ...], ...]
    """Cells by array index."""
    submitted: float
    """Seconds since 1970."""
    command: str = ""
    """What sbatch was asked for."""
    reached: Mapping[str, int] | None = None
    """By cell, the iteration of its newest checkpoint when it was submitted."""
    job: str = ""
    """The array's job id; empty as long as sbatch has not said it."""
    cancelled: bool = False

    @property
    def title(self) -> str:
        """The array as squeue calls it."""
        number = f"jobs {self.job}_[0-{len(self.tasks) - 1}]" if len(self.tasks) > 1 else f"job {self.job}"
        return f"{number} ({self.name})"

    def log(self, index: int) -> str:
        """The name of the file that a job of the array prints to."""
        return log_name(self.job, index if len(self.tasks) > 1 else None)

    def reached_by(self, cell: str) -> int:
        """The iteration of a cell's newest checkpoint when it was submitted, 0 without one."""
        return (self.reached or {}).get(cell, 0)

    def save(self, folder: Path) -> None:
        """Write the record, atomically."""
        write_json(folder / f"{self.name}.json", asdict(self))


def new(sweep: str, tasks: Sequence[Sequence[str]], command: str, reached: Mapping[str, int]) -> Submission:
    """A submission with a name of its own, which squeue's lists and formats, and file names, can hold."""
    clean = re.sub(r"[^\w.-]", "_", sweep, flags=re.ASCII)[:LONGEST]
    name = f"{clean}-{uuid.uuid4().hex[:8]}"
    return Submission(name, tuple(map(tuple, tasks)), time.time(), command, reached)


def read_all(folder: Path) -> list[Submission]:
    """The records in a folder, oldest first; raise `UserError` for one that can't be read."""
    return sorted(map(read, folder.glob("*.json")), key=lambda submission: submission.submitted)


def read(path: Path) -> Submission:
    """One record."""
    known = [field.name for field in fields(Submission)]
    try:
        plain = {name: value for name, value in read_json(path).items() if name in known}
        return Submission(**{**plain, "tasks": tuple(map(tuple, plain["tasks"]))})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({error}): see with squeue whether jobs named {path.stem} are alive, "
            "then remove it"
        ) from error


def cancelled(submission: Submission) -> Submission:
    """The record of an array that was cancelled: its jobs do not count as attempts."""
    return replace(submission, cancelled=True)
