"""What a tracker must do, and which one a name means."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.config import Tracker
from harness.errors import UserError
from harness.tracker.points import Point

PROJECT = "creditbench"


@dataclass(frozen=True)
class Cell:
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


def open_writer(tracker: Tracker, cell: Cell) -> Writer:
    """The cell in the tracker, made or found. Only the chosen tracker's library is imported."""
    match tracker:
        case Tracker.tensorboard:
            from harness.tracker.tensorboard import TensorboardWriter

            return TensorboardWriter(cell)
        case Tracker.wandb:
            from harness.tracker.wandb import WandbWriter

            return WandbWriter(cell)
        case Tracker.mlflow:
            from harness.tracker.mlflow import MlflowWriter

            return MlflowWriter(cell)
        case Tracker.trackio:
            from harness.tracker.trackio import TrackioWriter

            return TrackioWriter(cell)
    raise ValueError(tracker)


def check_tracker(tracker: Tracker) -> None:
    """Raise `UserError` where the tracker's extra is not installed."""
    if tracker is Tracker.none:
        return
    found = importlib.util.find_spec(tracker.value)
    # A folder of that name, as some trackers leave behind, is found too, but has no origin.
    if found is None or found.origin is None:
        raise UserError(f"tracker={tracker.value} needs an extra: pip install 'creditbench[{tracker.value}]'")
