"""Runs cells in this process, one after another. The fork server imports it: they start without imports."""

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NoReturn

from harness.code_version import code_version
from harness.config import RunConfig
from harness.launch import BUSY, DONE, FAILED, STOPPED, UNWRITABLE
from harness.launch.failure import note_failure
from harness.lease import LeaseLost
from harness.parallel.peers import ranks_of
from harness.reading.cell import State, read_files
from harness.reading.whole import check_sums
from harness.run import Run, Stopped
from harness.store import RunDir


def serve(cells: Connection, out: Path, checkpoint_seconds: float, reused_seconds: float) -> NoReturn:
    """Run the cells that are handed over, each with the version of the code that must run it, under `out`.

    A cell that finished within the first `reused_seconds` is answered, and another one taken. The process
    exits with the code of its last cell.
    """
    end_with_parent()
    stopping = stop_when_asked()
    reused_until, status = time.monotonic() + reused_seconds, DONE
    with contextlib.suppress(EOFError, ConnectionError):  # there are no more, or nobody who waits for them
        while True:
            config, code = cells.recv()
            status = work(out, config, checkpoint_seconds, code, stopping)
            if status != DONE or time.monotonic() > reused_until:
                break
            cells.send(status)
    # No interpreter shutdown: libraries' exit handlers have nothing to do here and may hang.
    os._exit(status)


def work(
    out: Path, config: RunConfig, checkpoint_seconds: float, code: str | None, stopping: Callable[[], bool]
) -> int:
    """Run the cell under `out`; returns one of the codes of `harness.launch`.

    `code`: the version of the code that was asked to run it; None: any will do.
    """
    try:
        return run_leased(config, out, checkpoint_seconds, code, stopping)
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return UNWRITABLE


def run_leased(
    config: RunConfig, out: Path, checkpoint_seconds: float, code: str | None, stopping: Callable[[], bool]
) -> int:
    """One attempt at the cell if no other process holds it; raises OSError if a failure can't be noted."""
    if not out.is_dir():  # whoever moved it has what is in it, so it must not be made again
        raise FileNotFoundError(f"{out} is gone: it was moved or removed")
    run_dir = RunDir.create(out, config)
    with run_dir.lease(lost=lambda: os._exit(BUSY)) as lease:
        if lease is None:
            return BUSY
        with (
            run_dir.log.open("a", buffering=1) as log,
            contextlib.redirect_stderr(log),
            contextlib.redirect_stdout(log),
        ):
            return attempt(config, run_dir, out, checkpoint_seconds, code, stopping)


def attempt(
    config: RunConfig,
    run_dir: RunDir,
    out: Path,
    checkpoint_seconds: float,
    code: str | None,
    stopping: Callable[[], bool],
) -> int:
    """One attempt at the cell; an exception becomes `failure.json` and a traceback in the log."""
    if run_dir.result.exists() and not damaged(run_dir):
        return DONE
    # An earlier attempt's reason is not this one's, should this process be killed.
    run_dir.failure.unlink(missing_ok=True)
    try:
        check_code(config, code)
        with ranks_of(config, run_dir, out, failed=partial(fail, run_dir)) as ranks:
            Run(config, run_dir, out, checkpoint_seconds, ranks).finish(stopping)
    except Stopped:
        print(f"stopped by a signal, after a checkpoint, {datetime.now(UTC):%F %T} UTC")
        return STOPPED
    except LeaseLost as error:
        print(error)
        return BUSY
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        note_failure(run_dir, reason)
        traceback.print_exc()
        return FAILED
    return DONE


def damaged(run_dir: RunDir) -> bool:
    """Whether a cell that has a result is damaged; the result is then removed, and the cell goes on.

    `RunDir.rewind` finds which of its checkpoints still fits what is there.
    """
    cell = read_files(str(run_dir.path), run_dir.path.name, time.time(), check_sums)
    if cell.state is State.done:
        return False
    print(f"damaged ({cell.reason}): run again from what is intact")
    run_dir.result.unlink()
    return True


def fail(run_dir: RunDir, reason: str) -> NoReturn:
    """End this process, which hangs as another rank ended."""
    note_failure(run_dir, reason)
    os._exit(FAILED)


def check_code(config: RunConfig, code: str | None) -> None:
    """Raise RuntimeError unless this process runs the code that was asked for."""
    mine = code_version(config.algorithm, config.env)
    if code not in (None, mine):
        raise RuntimeError(
            f"the code changed from {code} to {mine} after this cell was handed out: "
            "run the sweep's command again"
        )


def stop_when_asked() -> Callable[[], bool]:
    """Whether SIGTERM or SIGUSR2 has come: stop after this iteration. Ctrl-C is the sweep's affair."""
    # No Event: SLURM and the job both tell, and a handler that interrupts another's `set` waits for its lock.
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return lambda: bool(told)


def end_with_parent() -> None:
    """Die when the sweep does, even by SIGKILL: an orphan would hold its cell against the next attempt."""
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            wait([sentinel])
            os._exit(FAILED)

        threading.Thread(target=watch, daemon=True).start()
