"""`python -m harness.status DIR [--watch] [--html]`: a live board of a sweep.

Reads the run store in DIR, asks SLURM about its jobs if there were any, and disturbs neither; `--html` writes
DIR/status.html. Exit codes: 0 all cells are done or on their way, 1 some failed or are damaged, 2 bad input.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from harness.board import terminal, wording
from harness.board.summary import Summary, summarise
from harness.board.sweep import read_sweep
from harness.reading.cell import State
from harness.terminal import Parser, command, named_path

SECONDS = 2.0
REST = 20.0
"""How often to look when watching: after this many seconds, or this many times what the last look took. A big
store then costs a running sweep no more than a twentieth of a core."""
LISTED = 10
"""Cells of a state that a live board lists, so that it fits the screen."""


@command("harness.status")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    options = parser().parse_args(arguments)
    summary = None
    try:
        with display(options.watch) as show:
            for summary in looks(options.dir, options.watch):
                show(summary, write_page(summary) if options.html else None)
    except KeyboardInterrupt:  # the end of watching
        if summary is None:
            raise
    assert summary is not None
    return 1 if summary.counts[State.failed] or summary.counts[State.damaged] else 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = Parser(prog="python -m harness.status", description="Show where a sweep stands.")
    parser.add_argument("dir", type=named_path, metavar="DIR", help="the sweep's directory (its sweep.out)")
    parser.add_argument(
        "--watch", action="store_true", help="look again until everything has ended or Ctrl-C"
    )
    parser.add_argument(
        "--html", action="store_true", help="write DIR/status.html, a page that renews itself"
    )
    return parser


def looks(path: Path, watch: bool) -> Iterator[Summary]:
    """The sweep now; when watching, again and again until everything has ended."""
    while True:
        began = time.monotonic()
        sweep = read_sweep(path)
        summary = summarise(replace(sweep, notes=[*sweep.notes, *jobs(path)]))
        yield summary
        if summary.ended or not watch:
            return
        time.sleep(max(SECONDS, REST * (time.monotonic() - began)))


Show = Callable[[Summary, Path | None], None]
"""Shows a look, and where its page is."""


def jobs(path: Path) -> list[str]:
    """What SLURM says of the sweep's jobs, if it was ever asked to run any."""
    if not (path / "slurm").is_dir():
        return []
    # Only now: what it imports would slow the start of others.
    from harness.launch.slurm.notes import queue_notes

    return queue_notes(path)


@contextlib.contextmanager
def display(watch: bool) -> Iterator[Show]:
    """How to show a look: in colour on a terminal, renewed in place when watching; else as lines."""
    console = Console(highlight=False)
    if not console.is_terminal:
        yield changes()
    elif not watch:
        yield lambda summary, page: console.print(terminal.board(summary, console.width, page))
    else:
        from rich.live import Live  # only now: most looks are single ones

        with Live(console=console, auto_refresh=False) as live:
            yield lambda summary, page: live.update(
                terminal.board(summary, console.width, page, LISTED), refresh=True
            )


def changes() -> Show:
    """Prints everything once, and again whenever a cell has changed its state."""
    before = None

    def show(summary: Summary, page: Path | None) -> None:
        nonlocal before
        if wording.counts(summary) != before:
            before = wording.counts(summary)
            print("\n".join(terminal.lines(summary, page)), flush=True)

    return show


def write_page(summary: Summary) -> Path:
    """Write the page; returns its path. Its libraries are loaded only for it."""
    from harness.board.page import write_page as write

    return write(summary)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
