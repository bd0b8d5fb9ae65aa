"""`tracker=tensorboard`: event files. View: `tensorboard --logdir DIR/trackers/tensorboard`."""

import json
import shutil
from collections.abc import Sequence

from torch.utils.tensorboard import SummaryWriter

from harness.tracker.points import Point
from harness.tracker.writer import Copied


class TensorboardWriter:
    """A cell's event file, written from the start by each process: what a killed one left may be torn."""

    def __init__(self, cell: Copied) -> None:
        self.sent = -1
        folder = cell.folder / cell.name
        shutil.rmtree(folder, ignore_errors=True)
        # The purge is for a TensorBoard that is open and has read the file before.
        self._writer = SummaryWriter(str(folder), purge_step=0)
        self._writer.add_text("config", f"```\n{json.dumps(cell.config, indent=1)}\n```", 0)

    def write(self, points: Sequence[Point]) -> None:
        """Append to the run."""
        for point in points:
            for name, value in point.values.items():
                self._writer.add_scalar(name, value, point.iteration)
        self._writer.flush()

    def close(self, finished: bool) -> None:
        """End the run, as complete or not."""
        self._writer.close()
