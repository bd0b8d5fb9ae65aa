"""Cells in processes of this machine, one thread each: `launcher=local`, and inside each SLURM job."""

import math
import sys
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import LauncherConfig, RunConfig
from harness.distrust import Damaged
from harness.launch import BUSY, STOPPED, UNWRITABLE
from harness.launch.place import Place
from harness.launch.processes import WorkerProcess, fork_server, wait_for_one
from harness.launch.progress import Board, names_in
from harness.reading.cell import Budget, State, percent, share_spent
from harness.reading.whole import stand
from harness.store import RunDir, cell_id

POLL_SECONDS = 0.5
"""Between two looks at how far cells are; the end of one is noticed at once."""
BUSY_SECONDS = 2.0


@dataclass
class Cell:
    """A cell to run."""

    config: RunConfig
    run_dir: RunDir
    started: float = 0.0
    not_before: float = 0.0
    waits_until: float = math.inf
    """Until when another process may hold the cell before it is left to that one."""


def run_cells(
    configs: Sequence[RunConfig],
    out: Path,
    launcher: LauncherConfig,
    at_once: int,
    codes: Mapping[str, str],
    patience: float = math.inf,
) -> int:
    """Run what is not done, `at_once` at once; returns how many cells failed.

    `codes`: by cell, the version of the code that must run it; a cell without an entry may be run by any
    version. A failing cell does not stop the others. KeyboardInterrupt, and everything else that is raised
    here, ends the workers after a checkpoint; the next call goes on from there. A cell that another process
    holds is waited for, but left to it after `patience` seconds. Raises `UserError` if `out` is moved
    meanwhile.
    """
    cells = [Cell(config, RunDir(out / "runs" / cell_id(config))) for config in configs]
    found = [(cell, stand(cell.run_dir.path)) for cell in cells]
    waiting = deque(each for each, read in found if read.state is not State.done)
    board, place = Board(len(cells), len(waiting), names_in(out)), Place(out)
    for each, read in found:
        if read.state is State.damaged:
            board.damaged(each.config, read.reason)
    running: dict[WorkerProcess, Cell] = {}
    context = fork_server()

    def start(cell: Cell, worker: WorkerProcess) -> None:
        running[worker], cell.started = cell, time.monotonic()
        worker.hand(cell.config, codes.get(cell.run_dir.path.name))

    with board.progress:
        try:
            while waiting or running:
                place.check()
                while len(running) < at_once and (cell := take_ready(waiting)):
                    start(cell, WorkerProcess(context, out, launcher.checkpoint_seconds))
                wait_for_one(running, POLL_SECONDS)
                place.check()
                for worker, cell in list(running.items()):
                    if (code := worker.ended()) is None:
                        continue
                    if not settle(cell, code, board, patience):
                        waiting.append(cell)
                    if worker.process.is_alive() and (following := take_ready(waiting)):
                        start(following, worker)
                    else:
                        worker.dismiss()
                        del running[worker]
                now = ", ".join(f"{board.title(cell.config)} {progress(cell)}" for cell in running.values())
                board.show(f"running: {now}")
        finally:
            end(running)
    return board.failures


def end(workers: Collection[WorkerProcess]) -> None:
    """Let the workers write a checkpoint and end; a second interrupt ends them at once."""
    try:
        for worker in workers:
            worker.dismiss()
            worker.process.terminate()
        if workers:
            print("stopping after the iteration in flight and a checkpoint; Ctrl-C: at once", file=sys.stderr)
        for worker in workers:
            worker.process.join()
    except KeyboardInterrupt:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
        raise


def take_ready(waiting: deque[Cell]) -> Cell | None:
    """Take the first waiting cell that may start now."""
    for cell in waiting:
        if time.monotonic() >= cell.not_before:
            waiting.remove(cell)
            return cell
    return None


def settle(cell: Cell, code: int, board: Board, patience: float) -> bool:
    """Book the end of a cell; False when another process holds the cell and it must wait.

    `code`: how it ended, as `WorkerProcess.ended` has it.
    """
    seconds = time.monotonic() - cell.started
    if code == BUSY:
        cell.waits_until = min(cell.waits_until, time.monotonic() + patience)
        cell.not_before = time.monotonic() + BUSY_SECONDS
        if cell.not_before > cell.waits_until:
            board.left(cell.config)
            return True
        return False
    found = stand(cell.run_dir.path)
    if found.state is State.done:
        board.done(cell.config, cell.run_dir, seconds)
    elif found.state is State.failed:
        board.failed(cell.config, cell.run_dir, found.reason, found.kind)
    elif code == UNWRITABLE:
        reason = "its directory can't be written: is the disk full, or broken?"
        board.failed(cell.config, cell.run_dir, reason)
    else:
        reason = "stopped by a signal" if code == STOPPED else f"the process ended with code {code}"
        board.failed(cell.config, cell.run_dir, reason)
    return True


def progress(cell: Cell) -> str:
    """Share of the budget that the cell has spent, from the last line it wrote."""
    budget = cell.config.budget
    try:
        return percent(share_spent(str(cell.run_dir.path), Budget(budget.axis.value, budget.limit)))
    except (Damaged, OSError):
        return "?"
