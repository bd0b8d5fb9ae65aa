"""The board as plain lines, and in colour."""

from pathlib import Path

from rich import box
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.board import wording
from harness.board.summary import Summary
from harness.board.sweep import Sweep
from harness.reading.cell import Cell, State, percent

STYLES = {
    State.done: "green",
    State.running: "bright_blue",
    State.failed: "bold red",
    State.damaged: "bold magenta",
    State.interrupted: "yellow",
    State.waiting: "bright_black",
}
WIDE, NARROW = 60, 8
"""Characters of the bars."""
ROOMY = 80
"""Characters that a row of an arm with everything takes. On less, it has what matters most."""


def lines(summary: Summary, page: Path | None = None) -> list[str]:
    """Everything, line by line; `page`: where it is to be seen too."""
    sweep = summary.sweep
    text = [
        f"{sweep.name}: {wording.counts(summary)}",
        f"budget spent: {wording.budget(summary)}",
        f"throughput: {wording.throughput(summary)}",
        f"time left: {wording.time_left(summary)}",
        wording.SUCCESS,
    ]
    for arm in summary.arms:
        mean, over = wording.success(arm.success)
        text.append(
            f"  {arm.name}: {arm.counts[State.done]}/{len(arm.cells)} done, {percent(arm.spent)} "
            f"spent, success {mean}{over and f', range {over}'}, {wording.pace(arm)} a cell"
        )
    for state, cells in wording.listed(summary).items():
        text.append(f"{wording.MEANINGS[state]}:")
        for name, cell in cells:
            log = wording.log(sweep, cell)
            where = f" (log: {log})" if log else ""
            text.append(f"  {name} seed {cell.seed}: {wording.about(cell, sweep.read_at)}{where}")
    return [
        *text,
        *(f"note: {note}" for note in sweep.notes),
        *(f"to go on: {command}" for command in wording.go_on(summary)),
        *([f"page: {page}"] if page else []),
    ]


def board(summary: Summary, width: int, page: Path | None = None, most: int | None = None) -> Group:
    """Everything in colour, in `width` characters, with at most `most` cells of a state listed."""
    sweep = summary.sweep
    parts: list[Text | Table | Padding] = [
        Text.assemble((sweep.name, "bold"), (f"  {sweep.path}", "dim")),
        Text(),
        bar(summary.counts, min(WIDE, width)),
        legend(summary),
        Text(),
        figures(summary),
        Text(),
        arms(summary, width),
        Text(),
        Text(wording.SUCCESS, "dim"),
    ]
    for state, cells in wording.listed(summary).items():
        parts += [Text(), Text(wording.MEANINGS[state], STYLES[state])]
        parts += [listed(sweep, arm, cell) for arm, cell in cells[:most]]
        if cells[most:]:
            parts.append(Text(f"  and {len(cells[most:])} more", "dim"))
    parts += [Text(f"\nnote: {note}", "yellow") for note in sweep.notes]
    parts += [Text(f"\nto go on: {command}") for command in wording.go_on(summary)]
    parts += [Text(f"\npage: {page}")] if page else []
    return Group(*parts)


def bar(counts: dict[State, int], width: int) -> Text:
    """Cells by state as a bar."""
    dealt = wording.portions(list(counts.values()), width)
    return Text.assemble(*(("━" * n, STYLES[state]) for state, n in zip(counts, dealt, strict=True)))


def listed(sweep: Sweep, arm: str, cell: Cell) -> Padding:
    """A cell by itself; its log on a line of its own, to be copied."""
    text = Text.assemble((f"{arm} seed {cell.seed}", "bold"), f"  {wording.about(cell, sweep.read_at)}")
    if log := wording.log(sweep, cell):
        text.append(f"\n{log}", "dim")
    return Padding(text, (0, 0, 0, 2))


def legend(summary: Summary) -> Text:
    """What the bar's colours mean, with counts."""
    found = [(state, count) for state, count in summary.counts.items() if count]
    return Text("  ").join(Text.assemble(("● ", STYLES[state]), f"{n} {state.value}") for state, n in found)


def figures(summary: Summary) -> Table:
    """Budget, throughput, time left."""
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("budget spent", wording.budget(summary)),
        ("throughput", wording.throughput(summary)),
        ("time left", wording.time_left(summary)),
    ):
        table.add_row(Text(name, "dim"), Text(value))
    return table


def arms(summary: Summary, width: int) -> Table:
    """One row per arm."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("arm", min_width=20, overflow="fold")
    roomy = width >= ROOMY
    for name in ("done", "spent", "success", *(("range (cells)", "a cell", "cells") if roomy else ())):
        table.add_column(name, justify="left" if name == "cells" else "right", no_wrap=True)
    for arm in summary.arms:
        mean, over = wording.success(arm.success)
        done = f"{arm.counts[State.done]}/{len(arm.cells)}"
        more = (Text(over, "dim"), wording.pace(arm), bar(arm.counts, NARROW)) if roomy else ()
        table.add_row(Text(arm.name), done, percent(arm.spent), Text(mean, "bold"), *more)
    return table
