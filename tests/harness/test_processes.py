"""Worker processes: the smallest cells share one, and nobody can tell from what they write."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.compose import compose_sweep
from harness.config import CHECKPOINT_SECONDS, RunConfig
from harness.launch import DONE, FAILED
from harness.launch.processes import WorkerProcess, fork_server, wait_for_one
from harness.store import RunDir, cell_id
from tests.harness.sweeps import deadline

SMALLEST = [
    "+sweep=smoke",
    "sweep.algorithms=[ppo,appo,steppo]",
    "sweep.seeds=[0]",
    "batch.trajectories=32",
    "batch.minibatches=2",
    "model.clone_updates=2",
    "model.width=16",
    "env.horizon=8",
    "evaluation.points=1",
    "evaluation.window=1",
    "evaluation.episodes=1",
    "budget.axis=trajectories",
    "budget.limit=64",
]

TOLD_TWICE = """
import signal, sys
from harness.launch.worker import stop_when_asked

stopping = stop_when_asked()
assert not stopping()
sys.setprofile(lambda *_: signal.raise_signal(signal.SIGTERM))  # at each call that the first handler makes
signal.raise_signal(signal.SIGUSR2)
sys.setprofile(None)
assert stopping()
"""


@pytest.fixture
def cells() -> list[RunConfig]:
    return compose_sweep(SMALLEST)[2]


def started(out: Path, reused_seconds: float = math.inf) -> WorkerProcess:
    out.mkdir(exist_ok=True)
    return WorkerProcess(fork_server(), out, CHECKPOINT_SECONDS, reused_seconds)


def run(worker: WorkerProcess, cell: RunConfig, code: str | None = None) -> int:
    """How the cell ended."""
    worker.hand(cell, code)
    with deadline():
        while (code := worker.ended()) is None:
            wait_for_one([worker], 1.0)
    return code


def written(out: Path, cell: RunConfig) -> dict[str, bytes]:
    """What a cell wrote that is a function of its configuration alone."""
    folder = RunDir(out / "runs" / cell_id(cell))
    files = [folder.metrics, folder.result, *folder.complete_checkpoints()[-1].glob("*.safetensors")]
    return {path.name: path.read_bytes() for path in files}


def process_of(out: Path, cell: RunConfig) -> int:
    attempts = RunDir(out / "runs" / cell_id(cell)).attempts.read_text()
    return int(json.loads(attempts)["pid"])


def test_cells_that_share_a_process_write_what_they_write_alone(tmp_path, cells):
    shared = started(tmp_path / "shared")
    for cell in reversed(cells):
        assert run(shared, cell) == DONE
    shared.dismiss()
    shared.process.join()
    assert shared.process.exitcode == DONE
    for cell in cells:
        assert run(started(tmp_path / "alone", reused_seconds=0), cell) == DONE
        assert written(tmp_path / "shared", cell) == written(tmp_path / "alone", cell)
    assert len({process_of(tmp_path / "shared", cell) for cell in cells}) == 1
    assert len({process_of(tmp_path / "alone", cell) for cell in cells}) == len(cells)


def test_a_process_ends_with_a_cell_that_fails(tmp_path, cells):
    worker = started(tmp_path)
    assert run(worker, cells[0]) == DONE
    assert run(worker, cells[1], code="0 of another tree") == FAILED
    worker.process.join()
    assert worker.process.exitcode == FAILED


def test_a_process_that_was_killed_takes_no_cell(tmp_path, cells):
    worker = started(tmp_path)
    os.kill(worker.process.pid, signal.SIGKILL)
    assert run(worker, cells[0]) == -signal.SIGKILL
    assert not (tmp_path / "runs").exists()


def test_a_signal_may_come_while_another_is_handled():
    """SLURM tells a job's workers that the end is near, and so does the job itself, in the same moment."""
    subprocess.run([sys.executable, "-c", TOLD_TWICE], check=True, timeout=120)
