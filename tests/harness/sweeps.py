"""Whole sweeps of tiny cells."""

import contextlib
import io
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.sweep import main

TINY = [
    "+sweep=smoke",
    "sweep.algorithms=[grpo,steppo]",
    "batch.trajectories=16",
    "batch.minibatches=1",
    "model.clone_updates=20",
    "env.horizon=8",
    "evaluation.episodes=1",
    "budget.limit=2e10",
]
SECONDS = 300
"""Deadline of a sweep."""


def command(*arguments: str) -> list[str]:
    """As a user types it."""
    return [sys.executable, "-m", "harness.sweep", *arguments]


def sweep(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, so that one fork server and one import of libraries serve many tests.

    The cells are processes of their own all the same.
    """
    out, err = io.StringIO(), io.StringIO()
    with deadline(), contextlib.chdir(cwd), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


@contextlib.contextmanager
def deadline() -> Iterator[None]:
    """Fail the test if the block takes too long."""
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail(f"no end after {SECONDS} s"))
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def sweep_alone(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    return subprocess.run(command(*arguments), capture_output=True, text=True, cwd=cwd, timeout=SECONDS)


def cells(out: Path) -> dict[str, bytes]:
    """The metrics of each cell."""
    return {p.parent.name: p.read_bytes() for p in sorted((out / "runs").glob("*/metrics.jsonl"))}
