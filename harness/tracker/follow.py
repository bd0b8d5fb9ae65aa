"""The mirror beside a sweep: a process of its own, so that nothing a tracker does can reach the cells."""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from harness.config import Tracker
from harness.tracker.mirror import Mirror, mirror_folder

PERIOD_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
"""How long the end of a sweep waits for the tracker."""


@contextlib.contextmanager
def following(store: Path, tracker: Tracker) -> Iterator[None]:
    """Copy the store to the tracker while the block runs, and what is left at its end."""
    if tracker is Tracker.none:
        yield
        return
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=follow, args=(store, tracker, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield
    finally:
        ours.close()
        process.join(PATIENCE_SECONDS)
        if process.exitcode != 0:
            process.kill()
            print(
                f"warning: tracker={tracker.value} has not everything, the results are not affected "
                f"(log: {mirror_folder(store, tracker) / 'log.txt'}); "
                f"to copy the rest: python -m harness.track {store} --to {tracker.value}",
                file=sys.stderr,
            )


def follow(store: Path, tracker: Tracker, sweep: Connection) -> None:
    """The mirror's process: copies until the sweep closes its end or dies; exits with 1 if a cell failed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)
    mirror = Mirror(store, tracker)
    with (
        (mirror.folder / "log.txt").open("a", buffering=1) as log,
        contextlib.redirect_stderr(log),
        contextlib.redirect_stdout(log),
    ):
        problems = mirror.run(stopped=lambda: sweep.poll(PERIOD_SECONDS))
    # No interpreter shutdown: libraries' exit handlers have nothing to do here and may hang.
    os._exit(1 if problems else 0)
