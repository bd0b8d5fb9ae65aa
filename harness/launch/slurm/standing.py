"""Where a sweep's cells stand, from what they wrote, what was submitted, and what SLURM says of the jobs."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from harness.config import RunConfig
from harness.launch.slurm.cluster import Array, Element
from harness.launch.slurm.notes import queue_text
from harness.launch.slurm.submission import Submission
from harness.launch.slurm.turns import fruitless_turns, reached
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
    """Was submitted, is not alive, and left no message: killed, out of memory or time, its node gone."""
    cancelled = "cancelled"
    """Its newest job was cancelled, by whomever: submitted by the next command, not by one that waits."""


@dataclass(frozen=True)
class Turn:
    """A job that was submitted with a cell."""

    submission: Submission
    index: int
    """In the array."""
    log: Path
    """What it prints to."""
    array: Array | None
    """What SLURM says of the array; None: nothing (any more)."""

    @property
    def element(self) -> Element | None:
        """What SLURM says of the job; None: nothing (any more)."""
        return self.array.element(self.index) if self.array else None

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.element is not None and self.element.alive

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled, by this program or by scancel, as long as SLURM remembers.

        Of an element that is cancelled before it starts, nothing is left in an array that goes on.
        """
        if self.element is None:
            return self.submission.cancelled or (self.array is not None and not self.log.exists())
        return self.submission.cancelled or self.element.state == "CANCELLED"


@dataclass(frozen=True)
class Cell:
    """A cell of the sweep."""

    id: str
    config: RunConfig
    run_dir: RunDir
    standing: Standing
    turns: tuple[Turn, ...] = ()
    """Its jobs, oldest first."""
    attempts: int = 0
    """How many of them, cancelled ones apart, ended without getting it on; told of failed and lost cells."""

    @property
    def waits(self) -> Element | None:
        """What SLURM says of its job if that has yet to start."""
        return next((turn.element for turn in self.turns if turn.element and turn.element.waits), None)

    @property
    def reason(self) -> str:
        """Why it is not done."""
        if self.standing is Standing.failed:
            return stand_now(self.run_dir.path).reason
        if self.standing is Standing.cancelled:
            return "its job was cancelled"
        last = self.turns[-1]
        told = "killed, cancelled, out of memory or time, or its node is gone"
        if last.element:
            why = f" ({last.element.reason})" if last.element.reason else ""
            told = f"SLURM says {last.element.state}{why}"
        return f"lost: {told}; the job's log may say more: {last.log}"


def stand(
    configs: Sequence[RunConfig],
    records: Path,
    submissions: Sequence[Submission],
    arrays: Mapping[str, Array],
) -> list[Cell]:
    """The cells of the sweep that notes its submissions in `records`; `arrays`: see `cluster.queue`."""
    turns: defaultdict[str, list[Turn]] = defaultdict(list)
    for submission in submissions:
        array = arrays.get(submission.name)
        if not (submission.job or array):
            continue  # a command died before or in its sbatch, which took nothing
        for index, task in enumerate(submission.tasks):
            turn = Turn(submission, index, records / submission.name / submission.log(index), array)
            for id in task:
                turns[id].append(turn)
    return [cell_of(config, records, tuple(turns[cell_id(config)])) for config in configs]


def cell_of(config: RunConfig, records: Path, turns: tuple[Turn, ...]) -> Cell:
    """A cell with these jobs."""
    id = cell_id(config)
    run_dir = RunDir(records.parent / "runs" / id)
    cell = Cell(id, config, run_dir, standing(run_dir, turns), turns)
    if cell.standing in (Standing.failed, Standing.lost):
        return replace(cell, attempts=attempts(cell))
    return cell


def standing(run_dir: RunDir, turns: Sequence[Turn]) -> Standing:
    """Where one cell stands."""
    state = stand_now(run_dir.path).state
    if state is State.done:
        return Standing.done
    if state is State.running or any(turn.alive for turn in turns):
        return Standing.alive
    if turns and turns[-1].cancelled:
        return Standing.cancelled
    if state in (State.failed, State.damaged):
        return Standing.failed
    return Standing.lost if turns else Standing.new


def attempts(cell: Cell) -> int:
    """How many of a cell's jobs ended where it had stood before, a job's fruitless turns counted singly."""
    now = reached(cell.run_dir)
    return sum(
        max(1, fruitless_turns(turn.log.parent, turn.index))
        for turn in cell.turns
        if not turn.cancelled and turn.submission.reached_by(cell.id) >= now
    )


def waiting(cells: Sequence[Cell]) -> str:
    """How many cells wait, why, and how many run."""
    elements = [cell.waits for cell in cells if cell.standing is Standing.alive]
    return queue_text([element for element in elements if element], sum(e is None for e in elements))
