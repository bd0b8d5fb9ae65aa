"""A sweep in numbers. Pure arithmetic on what was read; None is unknown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.board.sweep import Sweep
from harness.reading.cell import Cell, State

OPEN = (State.running, State.damaged, State.interrupted, State.waiting)
"""States of cells that a sweep in progress still finishes. Failed ones wait for the next."""


@dataclass(frozen=True)
class Success:
    """Success over cells, each at its last evaluation."""

    mean: float
    low: float
    high: float
    cells: int


@dataclass(frozen=True)
class Arm:
    """The cells of one arm."""

    name: str
    cells: list[Cell]

    @cached_property
    def counts(self) -> dict[State, int]:
        """Cells in each state."""
        return counted(self.cells)

    @property
    def spent(self) -> float:
        """Share of the arm's budgets that is spent."""
        return share_spent(self.cells)

    @property
    def success(self) -> Success | None:
        """Over the cells that were evaluated, however far they are."""
        values = [cell.success for cell in self.cells if cell.success is not None]
        if not values:
            return None
        return Success(sum(values) / len(values), min(values), max(values), len(values))

    @cached_property
    def pace(self) -> float | None:
        """Seconds that a whole budget takes, from the arm's own cells."""
        timed = [(cell.seconds, cell.spent) for cell in self.cells if cell.seconds and cell.spent > 0]
        return sum(seconds for seconds, _ in timed) / sum(spent for _, spent in timed) if timed else None

    @property
    def work(self) -> list[float | None]:
        """Seconds that each open cell still takes."""
        pace = self.pace
        open_ = [cell for cell in self.cells if cell.state in OPEN]
        return [None if pace is None else (1 - cell.spent) * pace for cell in open_]


@dataclass(frozen=True)
class Summary:
    """A sweep and what follows from it."""

    sweep: Sweep
    arms: list[Arm]

    @property
    def cells(self) -> list[Cell]:
        """All cells, arm by arm."""
        return [cell for arm in self.arms for cell in arm.cells]

    @cached_property
    def counts(self) -> dict[State, int]:
        """Cells in each state."""
        return counted(self.cells)

    @property
    def ended(self) -> bool:
        """Whether nothing is left to run."""
        return not any(self.counts[state] for state in OPEN)

    @property
    def spent(self) -> float:
        """Share of all budgets that is spent."""
        return share_spent(self.cells)

    @property
    def budget(self) -> tuple[str, float] | None:
        """Axis and sum of all budgets, if they are known and alike."""
        known = {cell.budget for cell in self.cells if cell.budget}
        if len(known) != 1:
            return None
        (budget,) = known
        return budget.axis, budget.limit * len(self.cells)

    @property
    def per_hour(self) -> float | None:
        """Cells per hour at the pace of the arms that are running."""
        paces = [arm.pace for arm in self.arms for cell in arm.cells if cell.state is State.running]
        known = [pace for pace in paces if pace]
        return sum(3600 / pace for pace in known) if known and len(known) == len(paces) else None

    @property
    def left(self) -> float | None:
        """Seconds until the last cell ends, if as many cells go on running at once as now."""
        work = [seconds for arm in self.arms for seconds in arm.work]
        known = [seconds for seconds in work if seconds is not None]
        running = self.counts[State.running]
        if not running or len(known) < len(work):
            return None
        return max(sum(known) / running, max(known))

    @property
    def why_unknown(self) -> str:
        """Why the time left is not known."""
        if not self.counts[State.running]:
            return "nothing is running"
        arms = [arm.name for arm in self.arms if None in arm.work]
        return f"no timing yet of {arms[0]}" + (f" and {len(arms) - 1} more" if len(arms) > 1 else "")


def summarise(sweep: Sweep) -> Summary:
    """The sweep, arm by arm in its own order."""
    return Summary(sweep, [Arm(name, cells) for name, cells in sweep.arms.items()])


def counted(cells: Sequence[Cell]) -> dict[State, int]:
    """Cells in each state, none left out."""
    counts = Counter(cell.state for cell in cells)
    return {state: counts[state] for state in State}


def share_spent(cells: Sequence[Cell]) -> float:
    """Mean share of the budget spent."""
    return sum(cell.spent for cell in cells) / len(cells)
