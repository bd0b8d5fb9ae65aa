"""`tracker=mlflow`: a SQLite file beside the store unless MLFLOW_TRACKING_URI says otherwise.

View: `mlflow ui --backend-store-uri sqlite:///DIR/trackers/mlflow/mlflow.db`.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from harness.tracker.points import Point
from harness.tracker.writer import PROJECT, Copied

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
TAG = f"{PROJECT}.run_id"


class MlflowWriter:
    """A cell's run, found by its tag. Each point is one transaction and names its iteration."""

    def __init__(self, cell: Copied) -> None:
        local = f"sqlite:///{cell.folder.absolute()}/mlflow.db"
        self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or local)
        experiment = self._experiment(f"{PROJECT}/{cell.group}")
        found = self._client.search_runs([experiment], f"tags.`{TAG}` = '{cell.run_id}'")
        new = {"tags": {TAG: cell.run_id}, "run_name": cell.name}
        run = found[0] if found else self._client.create_run(experiment, **new)
        self._run_id = run.info.run_id
        self.sent = int(run.data.metrics.get("iteration", -1))
        if self.sent < 0:
            params = [Param(name, str(value)) for name, value in flat(cell.config).items()]
            self._client.log_batch(self._run_id, params=params)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def write(self, points: Sequence[Point]) -> None:
        """Append to the run."""
        now = int(time.time() * 1000)
        for point in points:
            values = {**point.values, "iteration": point.iteration}
            metrics = [Metric(name, value, now, point.iteration) for name, value in values.items()]
            self._client.log_batch(self._run_id, metrics=metrics)

    def close(self, finished: bool) -> None:
        """End the run, as complete or not."""
        if finished:
            self._client.set_terminated(self._run_id)


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options by their dotted names."""
    options: dict[str, Any] = {}
    for name, value in config.items():
        options |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return options
