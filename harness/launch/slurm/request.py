"""What a command wants run on a cluster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig, SlurmConfig


@dataclass(frozen=True)
class Request:
    """What a command wants run."""

    configs: Sequence[RunConfig]
    codes: Mapping[str, str]
    """By cell, the version of the code that must run it."""
    sweep: str
    """The sweep's name."""
    out: Path
    launcher: SlurmConfig

    @property
    def records(self) -> Path:
        """Where submissions are noted, each with a folder of its own beside its record."""
        return self.out / "slurm"
