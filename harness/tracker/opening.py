"""Which tracker a name means. Only the chosen tracker's library is imported."""

import importlib.util

from harness.config import Tracker
from harness.errors import UserError
from harness.tracker.writer import Copied, Writer


def open_writer(tracker: Tracker, cell: Copied) -> Writer:
    """The cell in the tracker, made or found."""
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
    """Raise `UserError` if the tracker's extra is not installed."""
    if tracker is Tracker.none:
        return
    found = importlib.util.find_spec(tracker.value)
    # A folder of that name, as some trackers leave behind, is found too, but has no origin.
    if found is None or found.origin is None:
        raise UserError(f"tracker={tracker.value} needs an extra: pip install 'creditbench[{tracker.value}]'")
