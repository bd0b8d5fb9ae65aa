"""`tracker=wandb`: Weights & Biases, offline unless WANDB_MODE says otherwise.

To upload: `wandb sync DIR/trackers/wandb/*/wandb/offline-run-*`.
"""

import os
import shutil
from collections.abc import Sequence

import wandb

from harness.tracker.points import Point
from harness.tracker.writer import PROJECT, Copied

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
# The metrics only: no terminal output, no commit, nothing of the machine.
SETTINGS = wandb.Settings(console="off", disable_git=True, x_disable_meta=True, x_disable_stats=True)


class WandbWriter:
    """A cell's run. Online it goes on where the server's copy ends; offline each process writes it afresh."""

    def __init__(self, cell: Copied) -> None:
        folder = cell.folder / cell.name
        if os.environ["WANDB_MODE"] == "offline":
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(exist_ok=True)
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=cell.group,
            name=cell.name,
            id=cell.run_id,
            dir=folder,
            config=cell.config,
            resume="allow",
            reinit="create_new",
            settings=SETTINGS,
        )
        self.sent = self._run.step - 1

    def write(self, points: Sequence[Point]) -> None:
        """Append to the run."""
        for point in points:
            self._run.log(point.values, step=point.iteration, commit=True)

    def close(self, finished: bool) -> None:
        """End the run, as complete or not."""
        self._run.finish(exit_code=0 if finished else 1)
