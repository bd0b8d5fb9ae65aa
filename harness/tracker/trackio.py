"""`tracker=trackio`: a SQLite file, always local. View: `TRACKIO_DIR=DIR/trackers/trackio trackio show`."""

import os
from collections.abc import Sequence

from harness.tracker.points import Point
from harness.tracker.writer import PROJECT, Copied


class TrackioWriter:
    """A cell's run. Each write is one transaction.

    As trackio's own importers do, it writes to the storage: a `trackio.Run` only warns if a point is lost.
    """

    def __init__(self, cell: Copied) -> None:
        # Read when trackio is imported, and so before.
        os.environ.setdefault("TRACKIO_DIR", str(cell.folder.absolute()))
        from trackio.sqlite_storage import SQLiteStorage

        self._storage, self._cell = SQLiteStorage, cell
        last = SQLiteStorage.get_max_step_for_run(PROJECT, cell.run_id)
        self.sent = -1 if last is None else int(last)

    def write(self, points: Sequence[Point]) -> None:
        """Append to the run."""
        self._storage.bulk_log(
            project=PROJECT,
            run=self._cell.run_id,
            metrics_list=[point.values for point in points],
            steps=[point.iteration for point in points],
            config={**self._cell.config, "_Group": self._cell.group},
        )

    def close(self, finished: bool) -> None:
        """Nothing is held open."""
