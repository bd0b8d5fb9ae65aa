"""Processes that run cells: forks of a server that has imported what they need, handed one cell at a time."""

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Iterable
from multiprocessing import Pipe, forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path

from harness.config import RunConfig

PRELOADED = [
    *("harness.launch.worker", "harness.rollout.torch_engine", "harness.launch.local"),
    # What main modules import: multiprocessing runs the sweep's, or the job's, in each worker.
    *(
        "harness.planning.text",
        "harness.planning.checks",
        "harness.planning.declared",
        "harness.planning.directory",
        "harness.compose.help",
    ),
    *("harness.pilot", "harness.deciding", "harness.launch.outcome"),
    *("harness.terminal", "harness.tracker", "harness.launch.slurm.start"),
]

ENDING = (signal.SIGTERM, signal.SIGUSR2, signal.SIGHUP)
"""What may be sent to all processes of a command at once."""
REUSED_SECONDS = 2.0
"""A younger process goes on with another cell: to start one costs a tenth of a second, as much as the
smallest cells take. All other cells have a process of their own, in which others have left nothing."""


def fork_server() -> ForkServerContext:
    """A server that forks workers, so that they start without imports.

    It ignores SIGTERM and SIGUSR2, which SLURM sends to every process of a job, and SIGHUP, which a closed
    terminal sends: if the server died, the workers' exit codes would be lost. Workers ignore SIGHUP too:
    their parent tells them.
    """
    # One thread per process: on shared cores, spinning threads are many times slower. Set before torch loads.
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    kept = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        forkserver.ensure_running()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    return context


class WorkerProcess:
    """A process that runs a cell and, if that took next to no time, goes on with another one."""

    def __init__(
        self,
        context: ForkServerContext,
        out: Path,
        checkpoint_seconds: float,
        reused_seconds: float = REUSED_SECONDS,
    ) -> None:
        self.cells, far = Pipe()
        arguments = (far, out, checkpoint_seconds, reused_seconds)
        self.process = context.Process(target=serve, args=arguments, daemon=True)
        self.process.start()
        far.close()

    def hand(self, config: RunConfig, code: str | None) -> None:
        """Have a cell run. `code`: the version of the code that must run it; None: any will do."""
        with contextlib.suppress(BrokenPipeError):  # it is dead: `ended` says how
            self.cells.send((config, code))

    def ended(self) -> int | None:
        """How its cell ended, as a code of `harness.launch` or how the process did; None: it goes on."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            if self.cells.poll():
                status: int = self.cells.recv()
                return status
        return self.process.exitcode

    def dismiss(self) -> None:
        """Let the process end when it has done its cell."""
        self.cells.close()


def wait_for_one(workers: Iterable[WorkerProcess], seconds: float) -> None:
    """Wait until something may have ended, but no longer than `seconds`."""
    wait([each for worker in workers for each in (worker.cells, worker.process.sentinel)], seconds)


def serve(cells: Connection, out: Path, checkpoint_seconds: float, reused_seconds: float) -> None:
    """The worker's process. Only the fork server imports torch, never the sweep."""
    from harness.launch import worker

    worker.serve(cells, out, checkpoint_seconds, reused_seconds)
