"""What was submitted: one file an array, `slurm/NAME.json` of the sweep's directory.

It is written before the array is submitted, under a name that no other array has, so that a command that dies
in between leaves nothing that SLURM runs and the next command does not know.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.store import read_json, write_json


@dataclass(frozen=True)
class Submission:
    """A job array."""

    name: str
    """The jobs' name in SLURM."""
    tasks: tuple[tuple[str, ...], ...]
    """Cells by array index."""
    parameters: dict[str, Any]
    """What sbatch was asked for."""
    submitted: float
    """Seconds since 1970."""
    job: str = ""
    """The array's job id; empty if the command died before it knew."""
    cancelled: bool = False

    @property
    def title(self) -> str:
        """The array as squeue calls it."""
        number = f"jobs {self.job}_[0-{len(self.tasks) - 1}]" if len(self.tasks) > 1 else f"job {self.job}"
        return f"{number} ({self.name})"

    def save(self, folder: Path) -> None:
        """Write the record, atomically."""
        write_json(folder / f"{self.name}.json", asdict(self))


def new(sweep: str, tasks: Sequence[Sequence[str]], parameters: dict[str, Any]) -> Submission:
    """A submission with a name of its own."""
    name = f"{sweep}-{uuid.uuid4().hex[:8]}"
    return Submission(name, tuple(map(tuple, tasks)), parameters, time.time())


def read_all(folder: Path) -> list[Submission]:
    """The records in a folder, oldest first; raise `UserError` for one that can't be read."""
    return sorted(map(read, folder.glob("*.json")), key=lambda submission: submission.submitted)


def read(path: Path) -> Submission:
    """One record."""
    try:
        plain = read_json(path)
        return Submission(**{**plain, "tasks": tuple(map(tuple, plain["tasks"]))})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} is damaged ({error}): see with squeue whether jobs named {path.stem} are alive, "
            "then remove it"
        ) from error


def cancelled(submission: Submission) -> Submission:
    """The record of an array that was cancelled: its jobs are no attempts."""
    return replace(submission, cancelled=True)
