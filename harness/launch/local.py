"""`launcher=local`: cells in local processes, one thread each."""

import json
import multiprocessing
import os
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from harness.config import RunConfig
from harness.config.compose import to_plain
from harness.launch import BUSY, DONE, UNWRITABLE
from harness.store import RunDir, State, cell_id, read_json

POLL_SECONDS = 0.2
BUSY_SECONDS = 2.0
HEARTBEAT_SECONDS = 30.0


@dataclass
class Cell:
    """A cell that is not done, and the process that runs it."""

    config: RunConfig
    run_dir: RunDir
    process: BaseProcess | None = None
    started: float = 0.0
    not_before: float = 0.0

    @property
    def title(self) -> str:
        """How the cell is called on the terminal."""
        return f"{self.config.algorithm.name} seed {self.config.seed}"


def run_cells(configs: Sequence[RunConfig], out: Path, workers: int) -> int:
    """Run what is not done, `workers` at once; returns how many cells failed.

    A failing cell does not stop the others. KeyboardInterrupt ends the workers and is raised again; so does
    everything else: what the cells wrote is kept, and the next call goes on from there.
    """
    cells = [Cell(config, RunDir(out / "runs" / cell_id(config))) for config in configs]
    waiting = deque(cell for cell in cells if cell.run_dir.state() is not State.done)
    board = Board(len(cells), len(waiting))
    running: list[Cell] = []
    # One thread a process: on shared cores, spinning threads are many times slower. Set before torch loads.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.launch.worker"])
    with board.progress:
        try:
            while waiting or running:
                while len(running) < workers and (cell := take_ready(waiting)):
                    start(context, cell, out)
                    running.append(cell)
                time.sleep(POLL_SECONDS)
                for cell in [cell for cell in running if cell.process and not cell.process.is_alive()]:
                    running.remove(cell)
                    if not settle(cell, board):
                        cell.not_before = time.monotonic() + BUSY_SECONDS
                        waiting.append(cell)
                board.show(running)
        finally:
            for cell in running:
                assert cell.process is not None
                cell.process.terminate()
                cell.process.join()
    return board.failures


def work(out: Path, plain: dict[str, Any]) -> None:
    """The worker's process. Only the fork server imports torch, never the sweep."""
    from harness.launch import worker

    worker.work(out, plain)


def take_ready(waiting: deque[Cell]) -> Cell | None:
    """Take the first waiting cell that may start now."""
    for cell in waiting:
        if time.monotonic() >= cell.not_before:
            waiting.remove(cell)
            return cell
    return None


def start(context: ForkServerContext, cell: Cell, out: Path) -> None:
    """Start a worker on the cell."""
    cell.process = context.Process(target=work, args=(out, to_plain(cell.config)), daemon=True)
    cell.started = time.monotonic()
    cell.process.start()


def settle(cell: Cell, board: "Board") -> bool:
    """Book the end of a cell's process; False when another sweep holds the cell and it must wait."""
    assert cell.process is not None
    code = cell.process.exitcode
    if code == BUSY:
        return False
    if code == DONE and cell.run_dir.result.exists():
        board.done(cell)
    elif cell.run_dir.failure.exists():
        board.failed(cell, read_json(cell.run_dir.failure)["reason"])
    elif code == UNWRITABLE:
        board.failed(cell, "its directory can't be written: is the disk full, or broken?")
    else:
        board.failed(cell, f"the process ended with code {code}")
    return True


class Board:
    """What the terminal shows: a line for every finished cell and, where it is a terminal, a live bar."""

    def __init__(self, cells: int, owed: int) -> None:
        self.cells, self.failures = cells, 0
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

    def done(self, cell: Cell) -> None:
        """A cell has finished."""
        result = read_json(cell.run_dir.result)
        before, after = result["scores"][0], result["final_success"]
        self._end(cell, f"success {before:.2f} -> {after:.2f}")

    def failed(self, cell: Cell, reason: str) -> None:
        """A cell has failed."""
        self.failures += 1
        self._end(cell, f"FAILED: {reason} (log: {cell.run_dir.log})")

    def show(self, running: Sequence[Cell]) -> None:
        """Refresh the bar; where there is none, say that the sweep is alive."""
        now = ", ".join(f"{cell.title} {progress(cell):.0%}" for cell in running)
        self.progress.update(self.task, description=now or "cells")
        if not self.console.is_terminal and time.monotonic() - self.last_line > HEARTBEAT_SECONDS:
            self._print(f"[{self.ended}/{self.cells}] running: {now}")

    def _end(self, cell: Cell, outcome: str) -> None:
        self.ended += 1
        self.progress.advance(self.task)
        seconds = time.monotonic() - cell.started
        self._print(f"[{self.ended}/{self.cells}] {cell.title}: {outcome}, {seconds:.0f} s")

    def _print(self, line: str) -> None:
        self.console.print(line, markup=False)
        self.last_line = time.monotonic()


def progress(cell: Cell) -> float:
    """Share of the budget that the cell has spent, from the last line it wrote."""
    if not cell.run_dir.metrics.exists():
        return 0.0
    with cell.run_dir.metrics.open("rb") as file:
        file.seek(max(0, cell.run_dir.metrics.stat().st_size - 4096))
        lines = file.read().split(b"\n")
    if len(lines) < 2:
        return 0.0
    budget = cell.config.budget
    return min(1.0, float(json.loads(lines[-2])[budget.axis.value]) / budget.limit)
