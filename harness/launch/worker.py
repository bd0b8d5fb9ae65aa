"""Runs one cell in a process of its own. Imported by the fork server, so that cells start without imports."""

import contextlib
import os
import sys
import threading
import traceback
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.config.compose import run_config
from harness.launch import BUSY, DONE, FAILED
from harness.run import Run
from harness.store import RunDir, write_json


def work(out: Path, plain: dict[str, Any]) -> None:
    """Run the cell with this configuration under `out`, and exit with DONE, FAILED or BUSY."""
    end_with_parent()
    config = run_config(plain)
    run_dir = RunDir.create(out, config)
    with run_dir.lease() as mine:
        if not mine:
            sys.exit(BUSY)
        with (
            run_dir.log.open("a", buffering=1) as log,
            contextlib.redirect_stderr(log),
            contextlib.redirect_stdout(log),
        ):
            code = attempt(config, run_dir, out)
    # No interpreter shutdown: libraries' exit handlers have nothing to do here and may hang.
    os._exit(code)


def attempt(config: RunConfig, run_dir: RunDir, out: Path) -> int:
    """One attempt at the cell; an exception becomes `failure.json` and a traceback in the log."""
    if run_dir.result.exists():
        return DONE
    # An earlier attempt's reason is not this one's, should this process be killed.
    run_dir.failure.unlink(missing_ok=True)
    try:
        Run(config, run_dir, out).finish()
    except Exception as error:
        traceback.print_exc()
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        write_json(run_dir.failure, {"reason": reason})
        return FAILED
    return DONE


def end_with_parent() -> None:
    """Die when the sweep does, even by SIGKILL: an orphan would hold its cell against the next attempt."""
    parent = parent_process()
    if parent is not None:
        sentinel = parent.sentinel

        def watch() -> None:
            wait([sentinel])
            os._exit(FAILED)

        threading.Thread(target=watch, daemon=True).start()
