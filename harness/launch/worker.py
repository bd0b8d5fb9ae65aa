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
from harness.launch import BUSY, DONE, FAILED, UNWRITABLE
from harness.run import CHECKPOINT_SECONDS, Run
from harness.store import RunDir, write_json


def work(out: Path, plain: dict[str, Any], checkpoint_seconds: float = CHECKPOINT_SECONDS) -> None:
    """Run the cell with this configuration under `out`; exit with one of the codes of `harness.launch`."""
    end_with_parent()
    try:
        code = run_leased(run_config(plain), out, checkpoint_seconds)
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = UNWRITABLE
    # No interpreter shutdown: libraries' exit handlers have nothing to do here and may hang.
    os._exit(code)


def run_leased(config: RunConfig, out: Path, checkpoint_seconds: float) -> int:
    """One attempt at the cell if no other process holds it; raises OSError where its log can't be written."""
    run_dir = RunDir.create(out, config)
    with run_dir.lease() as mine:
        if not mine:
            return BUSY
        with (
            run_dir.log.open("a", buffering=1) as log,
            contextlib.redirect_stderr(log),
            contextlib.redirect_stdout(log),
        ):
            return attempt(config, run_dir, out, checkpoint_seconds)


def attempt(config: RunConfig, run_dir: RunDir, out: Path, checkpoint_seconds: float) -> int:
    """One attempt at the cell; an exception becomes `failure.json` and a traceback in the log."""
    if run_dir.result.exists():
        return DONE
    # An earlier attempt's reason is not this one's, should this process be killed.
    run_dir.failure.unlink(missing_ok=True)
    try:
        Run(config, run_dir, out, checkpoint_seconds).finish()
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        write_json(run_dir.failure, {"reason": reason})
        traceback.print_exc()
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
