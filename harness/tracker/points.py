"""What a tracker is given of a cell: one point per iteration, whole and final."""

from dataclasses import dataclass
from typing import Any

from harness.config import BudgetAxis
from harness.distrust import Damaged
from harness.reading.cell import State
from harness.reading.whole import stand
from harness.store import RunDir, read_json

SPENT = {axis.value for axis in BudgetAxis}


@dataclass(frozen=True)
class Point:
    """All numbers of one iteration: `train/NAME`, `evaluation/NAME` and `spent/AXIS`."""

    iteration: int
    values: dict[str, float]


def read_points(run_dir: RunDir) -> tuple[list[Point], bool]:
    """The cell's points that nothing changes any more, in order, and whether the run is finished.

    A running cell's last settled iteration is held back: it may be evaluated yet, and a point is sent once.
    Raises `Damaged` if a file can't be used.
    """
    cell = stand(run_dir.path)
    if cell.state is State.damaged:
        raise Damaged(cell.reason)
    finished = cell.state is State.done
    points = merge(run_dir.settled_metrics())
    if not finished:
        return points[:-1], False
    result = read_json(run_dir.result)
    points[-1].values["final_success"] = result["final_success"]
    if result.get("measure") == "score":
        points[-1].values["final_score"] = result["final_score"]
    return points, True


def merge(lines: list[dict[str, Any]]) -> list[Point]:
    """One point for the lines of each iteration; text and lists are left out."""
    merged: dict[int, dict[str, float]] = {}
    for line in lines:
        point = merged.setdefault(line["iteration"], {})
        for name, value in line.items():
            if name != "iteration" and isinstance(value, int | float):
                point[f"{'spent' if name in SPENT else line['kind']}/{name}"] = value
    return [Point(iteration, values) for iteration, values in merged.items()]
