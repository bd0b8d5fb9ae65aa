"""Sweeps of small cells, as a user starts them."""

import contextlib
import io
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.checkup.slurm import slurm as checkup
from harness.compose import compose_sweep
from harness.run import Run
from harness.status import main as show_status
from harness.store import RunDir
from tests.harness import sweeps

SMALL = [
    "+sweep=smoke",
    "sweep.algorithms=[grpo]",
    "batch.trajectories=8",
    "batch.minibatches=1",
    "model.clone_updates=5",
    "model.clone_steps=200",
    "model.layers=1",
    "model.width=16",
    "model.heads=2",
    "env.horizon=8",
    "env.train_tasks=2",
    "env.eval_tasks=1",
    "evaluation.points=2",
    "evaluation.window=1",
    "evaluation.episodes=1",
    "evaluation.record=0",
    "budget.axis=trajectories",
    "budget.limit=16",
]
LONG = [*SMALL, "budget.limit=960", "launcher.checkpoint_seconds=0"]
"""120 iterations, a checkpoint after each: time to be hit in."""
SECONDS = 1800
"""Nothing that is waited for takes so long: what waits on hangs."""


def sweep(*arguments: str, out: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process; its jobs are processes of SLURM's."""
    return sweeps.sweep(*arguments, f"sweep.out={out}", cwd=Path.cwd())


def submitted(*arguments: str, out: Path) -> list[str]:
    """Submit, and return the job id of each element of the array."""
    done = sweep(*arguments, "launcher=slurm", out=out)
    assert done.returncode == 0, done.stderr
    found = re.search(r"as jobs? (\d+)(?:_\[0-(\d+)\])?", done.stdout)
    assert found, done.stdout
    return [found[1]] if found[2] is None else [f"{found[1]}_{i}" for i in range(int(found[2]) + 1)]


def until(true: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.1)


def slurm_says(*command: str) -> str:
    """What one of SLURM's commands prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def job_facts(job: str) -> dict[str, str]:
    """What SLURM says of a job, by name."""
    words = slurm_says("scontrol", "show", "job", job).split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def doctor_says(*overrides: str) -> str:
    """The doctor's line on SLURM."""
    sweep, launcher, cells = compose_sweep(["+sweep=smoke", "launcher=slurm", *overrides])
    [finding] = checkup(launcher, Path(sweep.out), cells)
    return str(finding)


def status(out: Path) -> str:
    """What `harness.status` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        show_status([str(out)])
    return text.getvalue()


def queue() -> dict[str, str]:
    """States of the jobs that wait or run, by id."""
    lines = slurm_says("squeue", "-h", "-r", "-o", "%i %T").splitlines()
    return dict(line.split() for line in lines)


def runs(out: Path) -> list[Path]:
    """The cells' folders."""
    return sorted((out / "runs").glob("*"))


def undisturbed(*arguments: str, out: Path) -> dict[str, bytes]:
    """What the cells measure when nothing happens to them."""
    for cell in compose_sweep(arguments)[2]:
        Run(cell, RunDir.create(out, cell), out).finish()
    return metrics(out)


def metrics(out: Path) -> dict[str, bytes]:
    """What the cells measured."""
    return {run.name: (run / "metrics.jsonl").read_bytes() for run in runs(out)}


def attempts(run: Path) -> list[dict]:
    """The attempts at a cell."""
    if not (run / "attempts.jsonl").exists():
        return []
    return [json.loads(line) for line in (run / "attempts.jsonl").read_text().splitlines()]


def has_got_on(out: Path, attempt: int = 1) -> bool:
    """Whether the first cell is in this attempt, and has written a checkpoint in it."""
    run = runs(out)[0] if runs(out) else None
    if run is None or len(attempts(run)) < attempt:
        return False
    written = [int(state.parent.name) for state in run.glob("checkpoints/[0-9]*/state.json")]
    return max(written, default=0) > attempts(run)[-1]["iteration"]


def over(jobs: Sequence[str]) -> bool:
    """Whether none of the jobs waits or runs."""
    return not set(jobs) & set(queue())


def workers(out: Path) -> list[int]:
    """The processes that run cells now."""
    pids = [attempts(run)[-1]["pid"] for run in runs(out) if attempts(run)]
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]
