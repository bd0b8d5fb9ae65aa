"""Cells in processes of this machine, one thread each: `launcher=local`, and inside each SLURM job."""

import json
import math
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness.config import LauncherConfig, RunConfig
from harness.launch import BUSY, STOPPED, UNWRITABLE
from harness.launch.progress import Board, title
from harness.store import RunDir, State, cell_id, read_json

POLL_SECONDS = 0.5
"""Between two looks at how far cells are; the end of one is noticed at once."""
BUSY_SECONDS = 2.0
PRELOADED = [
    *("harness.launch.worker", "harness.rollout.torch_engine", "harness.launch.local"),
    # What main modules import: multiprocessing runs the sweep's, or the job's, in each worker.
    *("harness.plan_text", "harness.config.contrasts", "harness.config.help", "harness.launch.outcome"),
    *("harness.terminal", "harness.tracker", "harness.launch.slurm.job", "submitit.core.submission"),
]


@dataclass
class Cell:
    """A cell that is not done, and the process that runs it."""

    config: RunConfig
    run_dir: RunDir
    process: BaseProcess | None = None
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

    `codes`: by cell, the version of the code that must run it; a cell that is not named takes any. A failing
    cell does not stop the others. KeyboardInterrupt, and everything else that is raised here, ends
    the workers after a checkpoint; the next call goes on from there. A cell that another process holds is
    waited for, but left to it after `patience` seconds.
    """
    cells = [Cell(config, RunDir(out / "runs" / cell_id(config))) for config in configs]
    waiting = deque(cell for cell in cells if cell.run_dir.state() is not State.done)
    board = Board(len(cells), len(waiting))
    running: list[Cell] = []
    # One thread a process: on shared cores, spinning threads are many times slower. Set before torch loads.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = fork_server()
    with board.progress:
        try:
            while waiting or running:
                while len(running) < at_once and (cell := take_ready(waiting)):
                    start(context, cell, out, launcher, codes.get(cell.run_dir.path.name))
                    running.append(cell)
                wait([cell.process.sentinel for cell in running if cell.process], POLL_SECONDS)
                for cell in [cell for cell in running if cell.process and not cell.process.is_alive()]:
                    running.remove(cell)
                    if not settle(cell, board, patience):
                        waiting.append(cell)
                now = ", ".join(f"{title(cell.config)} {progress(cell):.0%}" for cell in running)
                board.show(f"running: {now}")
        finally:
            end(running)
    return board.failures


def fork_server() -> ForkServerContext:
    """A server that forks workers, so that they start without imports.

    It ignores what SLURM tells all processes of a job: with the server, the word of how workers end is lost.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGUSR2)}
    try:
        forkserver.ensure_running()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    return context


def end(running: Sequence[Cell]) -> None:
    """Let the workers write a checkpoint and end; a second interrupt ends them at once."""
    processes = [cell.process for cell in running if cell.process]
    try:
        for process in processes:
            process.terminate()
        if processes:
            print("stopping after the iteration in flight and a checkpoint; Ctrl-C: at once", file=sys.stderr)
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
            process.join()
        raise


def work(out: Path, config: RunConfig, checkpoint_seconds: float, code: str | None) -> None:
    """The worker's process. Only the fork server imports torch, never the sweep."""
    from harness.launch import worker

    worker.work(out, config, checkpoint_seconds, code)


def take_ready(waiting: deque[Cell]) -> Cell | None:
    """Take the first waiting cell that may start now."""
    for cell in waiting:
        if time.monotonic() >= cell.not_before:
            waiting.remove(cell)
            return cell
    return None


def start(
    context: ForkServerContext, cell: Cell, out: Path, launcher: LauncherConfig, code: str | None
) -> None:
    """Start a worker on the cell."""
    arguments = (out, cell.config, launcher.checkpoint_seconds, code)
    cell.process = context.Process(target=work, args=arguments, daemon=True)
    cell.started = time.monotonic()
    cell.process.start()


def settle(cell: Cell, board: Board, patience: float) -> bool:
    """Book the end of a cell's process; False when another process holds the cell and it must wait."""
    assert cell.process is not None
    code, seconds = cell.process.exitcode, time.monotonic() - cell.started
    if code == BUSY:
        cell.waits_until = min(cell.waits_until, time.monotonic() + patience)
        cell.not_before = time.monotonic() + BUSY_SECONDS
        if cell.not_before > cell.waits_until:
            board.left(cell.config)
            return True
        return False
    if cell.run_dir.result.exists():
        board.done(cell.config, cell.run_dir, seconds)
    elif cell.run_dir.failure.exists():
        board.failed(cell.config, cell.run_dir, read_json(cell.run_dir.failure)["reason"])
    elif code == UNWRITABLE:
        reason = "its directory can't be written: is the disk full, or broken?"
        board.failed(cell.config, cell.run_dir, reason)
    else:
        reason = "stopped by a signal" if code == STOPPED else f"the process ended with code {code}"
        board.failed(cell.config, cell.run_dir, reason)
    return True


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
