"""The board's numbers and sentences."""

from collections.abc import Sequence

from harness.board.summary import Arm, Success, Summary
from harness.board.sweep import Sweep
from harness.reading.cell import FAILURES, Cell, State, percent

MEANINGS = {
    State.running: "Running",
    State.failed: "Failed",
    State.damaged: "Damaged: the sweep's command runs them again from what is intact",
    State.interrupted: "Interrupted: begun, and no process runs them now",
}
"""Headings of the states whose cells are listed one by one."""
OWED = (State.damaged, State.failed, State.interrupted, State.waiting)
"""States of cells that the sweep's command goes on with."""
SUCCESS = (
    "Success now: mean over cells of each one's last evaluation, however much it has spent. Spent: up to the "
    "last line that a cell wrote; an interrupted one goes on from its last checkpoint."
)


def counts(summary: Summary) -> str:
    """Cells by state; the states without a cell are left out, but for done."""
    found = {state: count for state, count in summary.counts.items() if count}
    done = found.pop(State.done, 0)
    others = [f"{count} {state.value}" for state, count in found.items()]
    return ", ".join([f"{done} of {len(summary.cells)} cells done", *others])


def budget(summary: Summary) -> str:
    """What is spent of all budgets."""
    known = summary.budget
    of = f" of {known[1]:.3g} {known[0]}" if known else ""
    return f"{percent(summary.spent)}{of}"


def throughput(summary: Summary) -> str:
    """Cells per hour."""
    rate = summary.per_hour
    if not summary.counts[State.running]:
        return "nothing is running"
    if rate is None:
        return "?"
    return f"about {rounded(rate)} cells an hour" if rate >= 1 else f"about {rounded(24 * rate)} cells a day"


def time_left(summary: Summary) -> str:
    """How long it still takes, or why nobody knows."""
    if summary.ended:
        return "none"
    left = summary.left
    return f"? ({summary.why_unknown})" if left is None else f"about {duration(left)}"


def log(sweep: Sweep, cell: Cell) -> str:
    """Where to look when it failed."""
    return str(sweep.log(cell)) if cell.state is State.failed else ""


def about(cell: Cell, now: float) -> str:
    """What there is to say of a listed cell."""
    if cell.state in (State.failed, State.damaged):
        return cell.reason + (f" ({FAILURES[cell.kind]})" if cell.kind else "")
    evaluated = [] if cell.success is None else [f"success {cell.success:.2f}"]
    wrote = [] if cell.written is None else [f"last wrote {duration(max(0.0, now - cell.written))} ago"]
    return ", ".join([f"{percent(cell.spent)} spent", *evaluated, *wrote])


def listed(summary: Summary) -> dict[State, list[tuple[str, Cell]]]:
    """The cells to be listed one by one, with the names of their arms."""
    return {
        state: [(arm.name, cell) for arm in summary.arms for cell in arm.cells if cell.state is state]
        for state in MEANINGS
        if summary.counts[state]
    }


def go_on(summary: Summary) -> list[str]:
    """The command that goes on with what nobody runs, if there is anything."""
    owed = any(cell.state in OWED and not cell.repeats for cell in summary.cells)
    if not owed or summary.counts[State.running] or not summary.sweep.command:
        return []
    return [summary.sweep.command]


def success(over: Success | None) -> tuple[str, str]:
    """Mean; lowest and highest, with the number of cells."""
    if over is None:
        return "-", ""
    return f"{over.mean:.2f}", f"{over.low:.2f} to {over.high:.2f} ({over.cells})"


def pace(arm: Arm) -> str:
    """How long a cell takes."""
    return "?" if arm.pace is None else duration(arm.pace)


def rounded(value: float) -> str:
    """Two digits, or all in front of the point."""
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{seconds / 86400:.1f} days"


def portions(amounts: Sequence[int], width: int) -> list[int]:
    """`width` divided in proportion to the amounts; what isn't 0 gets at least 1."""
    total = sum(amounts)
    dealt = [max(1, amount * width // total) if amount else 0 for amount in amounts]
    dealt[dealt.index(max(dealt))] += width - sum(dealt)
    return dealt
