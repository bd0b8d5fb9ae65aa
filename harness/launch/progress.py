"""What the terminal shows of cells that run: a line for each that ends and, on a terminal, a live bar."""

import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness.cells import seed_of
from harness.config import RunConfig
from harness.errors import UserError
from harness.manifest import read_manifest
from harness.reading.cell import FAILURES, Kind
from harness.store import RunDir, cell_id, read_json

HEARTBEAT_SECONDS = 30.0


def title(config: RunConfig) -> str:
    """How a cell is called on the terminal."""
    return f"{config.algorithm.name} seed {config.seed} on {config.env.name}"


def names_in(out: Path) -> dict[str, str]:
    """By cell, its arm, seed and environment as the sweep in `out` calls them; empty if it names none."""
    try:
        manifest, _ = read_manifest(out)
    except UserError:
        return {}
    arms, environments = manifest["arms"], manifest["environments"]
    return {
        id: f"{arms[id]} seed {seed_of(id)} on {environments[id]}"
        for id in manifest["cells"]
        if id in arms and id in environments
    }


class Board:
    """Prints what becomes of cells."""

    def __init__(self, cells: int, owed: int, names: Mapping[str, str] | None = None) -> None:
        """`cells`: all of them; `owed`: those that are not done; `names`: by cell, what to call it."""
        self.cells, self.failures, self.names = cells, 0, names or {}
        self.console = Console(soft_wrap=True, highlight=False)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )
        self.task = self.progress.add_task("cells", total=cells, completed=cells - owed)
        self.ended = cells - owed
        self.last_line = time.monotonic()

    def title(self, config: RunConfig) -> str:
        """What a cell is called: two trials of one algorithm, or two variants, have different names."""
        return self.names.get(cell_id(config)) or title(config)

    def done(self, config: RunConfig, run_dir: RunDir, seconds: float | None = None) -> None:
        """A cell has finished."""
        result = read_json(run_dir.result)
        took = "" if seconds is None else f", {seconds:.0f} s"
        first, last = result["scores"][0], result["final_score"]
        self._end(config, f"{result['measure']} {first:.2f} -> {last:.2f}{took}")

    def failed(self, config: RunConfig, run_dir: RunDir, reason: str, kind: Kind | None = None) -> None:
        """A cell has failed. `kind`: what made it fail, if that is known."""
        self.failures += 1
        whose = f" ({FAILURES[kind]})" if kind else ""
        self._end(config, f"FAILED{whose}: {reason} (log: {run_dir.log})")

    def damaged(self, config: RunConfig, reason: str) -> None:
        """A cell will be run again as its files are damaged."""
        self.say(f"{self.title(config)}: damaged ({reason}), run again from what is intact")

    def left(self, config: RunConfig) -> None:
        """A cell is left to the process that holds it."""
        self._end(config, "left to another process that runs it")

    def show(self, now: str) -> None:
        """Refresh the bar's text; if there is no bar, print it now and then as a sign of life."""
        self.progress.update(self.task, description=now)
        if not self.console.is_terminal and time.monotonic() - self.last_line > HEARTBEAT_SECONDS:
            self.say(f"[{self.ended}/{self.cells}] {now}")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(line, markup=False)
        self.last_line = time.monotonic()

    def _end(self, config: RunConfig, outcome: str) -> None:
        self.ended += 1
        self.progress.advance(self.task)
        self.say(f"[{self.ended}/{self.cells}] {self.title(config)}: {outcome}")
