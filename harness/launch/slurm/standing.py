"""Where a sweep's cells stand, from what they wrote, what was submitted, and what SLURM says is alive."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harness.config import RunConfig
from harness.launch.slurm.submission import Submission
from harness.reading.cell import State
from harness.reading.whole import stand as stand_now
from harness.store import RunDir, cell_id


class Standing(Enum):
    """What is to be done about a cell."""

    done = "done"
    alive = "alive"
    """Waits or runs: left alone."""
    new = "new"
    failed = "failed"
    lost = "lost"
    """Was submitted, is not alive, and left no word: killed, out of memory or time, its node gone."""


@dataclass(frozen=True)
class Cell:
    """A cell of the sweep."""

    id: str
    config: RunConfig
    run_dir: RunDir
    standing: Standing
    attempts: int
    """How often it was submitted, cancelled jobs apart."""

    @property
    def reason(self) -> str:
        """Why it is not done."""
        if self.standing is Standing.failed:
            return stand_now(self.run_dir.path).reason
        return "lost: killed, out of memory or time, or its node is gone; the job's log may say"


def stand(
    configs: Sequence[RunConfig],
    out: Path,
    submissions: Sequence[Submission],
    alive: Mapping[str, set[int]] | None,
) -> list[Cell]:
    """The cells. `alive`: as `cluster.alive` gives it; None where SLURM did not say, which kills nobody."""
    attempts: Counter[str] = Counter()
    queued: set[str] = set()
    for submission in submissions:
        indices = range(len(submission.tasks)) if alive is None else alive.get(submission.name, set())
        for index, task in enumerate(submission.tasks):
            if not submission.cancelled:
                attempts.update(task)
            if index in indices:
                queued.update(task)
    cells = []
    for config in configs:
        id = cell_id(config)
        run_dir = RunDir(out / "runs" / id)
        cells.append(Cell(id, config, run_dir, standing(run_dir, id in queued, attempts[id]), attempts[id]))
    return cells


def standing(run_dir: RunDir, queued: bool, attempts: int) -> Standing:
    """Where one cell stands; `queued`: a job that holds it waits or runs."""
    state = stand_now(run_dir.path).state
    if state is State.done:
        return Standing.done
    if queued or state is State.running:
        return Standing.alive
    if state in (State.failed, State.damaged):
        return Standing.failed
    return Standing.lost if attempts else Standing.new
