"""What a tracker must do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.tracker.points import Point

PROJECT = "creditbench"


@dataclass(frozen=True)
class Copied:
    """A cell as a tracker sees it."""

    name: str
    """The cell's directory name."""
    run_id: str
    """The name and the mirror's id: the same cell of another store is another run."""
    group: str
    """The name of the sweep's directory."""
    config: dict[str, Any]
    folder: Path
    """Where the tracker keeps its files: one folder for all cells of a store."""


class Writer(Protocol):
    """A cell in a tracker. Anything may raise: the cell is then opened afresh later."""

    sent: int
    """The last iteration that the tracker holds when the writer is opened, -1 for none."""

    def write(self, points: Sequence[Point]) -> None:
        """Add the points, all of them later than what was sent before."""

    def close(self, finished: bool) -> None:
        """Leave nothing in buffers."""
