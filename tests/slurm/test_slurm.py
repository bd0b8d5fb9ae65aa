"""Sweeps on a real SLURM: whatever happens to the jobs, the numbers are those of a calm local sweep."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.checkup.slurm import slurm as checkup
from harness.config import compose_sweep
from tests.slurm.helpers import (
    LONG,
    SMALL,
    attempts,
    has_checkpoint,
    metrics,
    over,
    queue,
    runs,
    slurm_says,
    submitted,
    sweep,
    until,
    workers,
)


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> dict[str, bytes]:
    """What LONG measures when nothing happens to it."""
    out = tmp_path_factory.mktemp("calm")
    done = sweep(*LONG, out=out)
    assert done.returncode == 0, done.stderr
    return metrics(out)


def collected(out: Path, *arguments: str) -> None:
    """The same command again, now followed, ends with a report."""
    done = sweep(*arguments, "launcher=slurm", "wait=true", out=out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "report.html").exists()


def running(out: Path) -> list[str]:
    """Submit LONG, and wait until it has something to lose; the jobs."""
    jobs = submitted(*LONG, out=out)
    until(lambda: has_checkpoint(out))
    return jobs


def test_an_array_ends_with_a_report(slurm, tmp_path):
    """Four cells on two nodes with two GPUs each: every job has one of its own."""
    several = [*SMALL, "sweep.algorithms=[grpo,steppo]", "sweep.seeds=[0,1]"]
    assert sweep(*several, out=tmp_path / "local").returncode == 0
    out = tmp_path / "jobs"
    done = sweep(*several, "launcher=slurm", "wait=true", "launcher.gres=gpu:1", out=out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "submitted 4 cells" in done.stdout
    assert "--gres=gpu:1" in done.stdout
    assert done.stdout.count("success 0.00") == 4
    assert (out / "report.html").stat().st_size > 10_000
    assert metrics(out) == metrics(tmp_path / "local")
    tried = [attempt for run in runs(out) for attempt in attempts(run)]
    assert len({attempt["job"] for attempt in tried}) == len(tried) == 4
    assert {attempt["gpus"] for attempt in tried} <= {"0", "1"}
    assert queue() == {}
    again = sweep(*several, "launcher=slurm", out=out)
    assert again.returncode == 0
    assert "submitted" not in again.stdout


def test_with_accounting(slurm_with_accounting, tmp_path):
    done = sweep(*SMALL, "launcher=slurm", "wait=true", out=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "COMPLETED" in slurm_says("sacct", "-n", "-X", "-o", "State")


def test_runs_packed_on_a_gpu_share_a_job(slurm, tmp_path):
    packed = [
        "sweep.seeds=[0,1,2,3]",
        "launcher.gres=gpu:1",
        "launcher.cells_per_job=4",
        "launcher.runs_per_gpu=2",
    ]
    done = sweep(*SMALL, *packed, "launcher.cpus=2", "launcher=slurm", "wait=true", out=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = [attempt for run in runs(tmp_path) for attempt in attempts(run)]
    assert len(tried) == 4
    assert len({(attempt["job"], attempt["gpus"]) for attempt in tried}) == 1
    assert len({attempt["pid"] for attempt in tried}) == 4


def test_preempted_by_a_better_partition(slurm, tmp_path, calm):
    job = submitted(*LONG, "launcher.partition=low", "launcher.cpus=4", out=tmp_path)[0]
    until(lambda: has_checkpoint(tmp_path))
    slurm_says("srun", "-p", "high", "-N2", "--exclusive", "sleep", "1")
    until(lambda: over([job]))
    first, second = attempts(runs(tmp_path)[0])
    assert first["job"] == second["job"] == job
    assert second["iteration"] > 0
    assert sum(second["redone"].values()) == 0, "it wrote a checkpoint when it was told to end"
    assert metrics(tmp_path) == calm
    collected(tmp_path, *LONG)


def test_requeued_by_hand(slurm, tmp_path, calm):
    job = running(tmp_path)[0]
    slurm_says("scontrol", "requeue", job)
    until(lambda: over([job]))
    assert [attempt["job"] for attempt in attempts(runs(tmp_path)[0])] == [job] * 2
    assert metrics(tmp_path) == calm


@pytest.mark.parametrize("victim", ["worker", "job"])
def test_killed_and_submitted_again(slurm, tmp_path, calm, victim):
    jobs = running(tmp_path)
    if victim == "worker":
        os.kill(workers(tmp_path)[0], signal.SIGKILL)
    else:
        slurm_says("scancel", "--signal=KILL", jobs[0])
    until(lambda: over(jobs))
    assert not (runs(tmp_path)[0] / "result.json").exists()
    collected(tmp_path, *LONG)
    first, second = attempts(runs(tmp_path)[0])
    assert first["job"] != second["job"]
    assert metrics(tmp_path) == calm


@pytest.mark.slow
def test_out_of_time(slurm, tmp_path):
    """SLURM looks at time limits twice a minute and warns up to a minute early."""
    much = [*LONG, "budget.limit=1e6"]
    job = submitted(*much, "launcher.minutes=1", "launcher.grace_seconds=15", out=tmp_path)[0]
    until(lambda: len(attempts(runs(tmp_path)[0])) == 2 if runs(tmp_path) else False)
    first, second = attempts(runs(tmp_path)[0])
    assert first["job"] == second["job"] == job
    assert second["iteration"] > 0
    assert sum(second["redone"].values()) == 0
    slurm_says("scancel", job)


def test_drained_nodes_keep_cells_waiting(slurm, tmp_path, calm):
    slurm_says("scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=test")
    try:
        jobs = submitted(*LONG, out=tmp_path)
        again = sweep(*LONG, "launcher=slurm", out=tmp_path)
        assert "1 of 1 cells wait or run" in again.stdout
        assert "submitted" not in again.stdout
        assert list(queue()) == jobs
    finally:
        slurm_says("scontrol", "update", "nodename=n[1-2]", "state=resume")
    collected(tmp_path, *LONG)
    assert metrics(tmp_path) == calm


def test_the_controller_dies_while_jobs_run(slurm, tmp_path, calm):
    running(tmp_path)
    os.kill(int((slurm / "slurmctld.pid").read_text()), signal.SIGKILL)
    done = sweep(*LONG, "launcher=slurm", out=tmp_path)
    assert done.returncode == 2
    assert "SLURM does not say which jobs are alive" in done.stderr
    subprocess.run([Path(__file__).parent / "up.sh", slurm], check=True, timeout=90)
    collected(tmp_path, *LONG)
    assert metrics(tmp_path) == calm


def test_cancelled_and_gone_on_with(slurm, tmp_path, calm):
    jobs = running(tmp_path)
    done = sweep(*LONG, "launcher=slurm", "cancel=true", out=tmp_path)
    assert done.stdout.endswith("1 jobs cancelled; what they finished is kept\n")
    until(lambda: over(jobs))
    assert not (tmp_path / "report.html").exists()
    collected(tmp_path, *LONG)
    _, second = attempts(runs(tmp_path)[0])
    assert second["iteration"] > 0
    assert sum(second["redone"].values()) == 0, "a cancelled job has time for a checkpoint"
    assert metrics(tmp_path) == calm


def test_what_fails_is_tried_so_often_and_said(slurm, tmp_path):
    """One cell diverges, the other is not kept from its end."""
    diverging = [
        *SMALL,
        "sweep.algorithms=[grpo,'grpo model.lr=1e30']",
        "budget.limit=200",
        "launcher.max_attempts=2",
    ]
    done = sweep(*diverging, "launcher=slurm", "wait=true", out=tmp_path)
    assert done.returncode == 1
    assert "(attempt 1 of 2)" in done.stdout
    assert done.stdout.count("FAILED: ") == 1
    assert "not finite" in done.stdout
    assert "launcher.max_attempts=3" in done.stderr
    assert (tmp_path / "report.html").exists()
    assert len(list((tmp_path / "slurm").glob("*.json"))) == 2
    # What jobs fail with, SLURM says too.
    assert "ExitCode=1:0" in slurm_says("scontrol", "show", "job", last_job(tmp_path))


def last_job(out: Path) -> str:
    records = [json.loads(path.read_text()) for path in (out / "slurm").glob("*.json")]
    return max(records, key=lambda record: record["submitted"])["job"]


def test_two_commands_at_once_run_no_cell_twice(slurm, tmp_path):
    several = [*SMALL, "sweep.seeds=[0,1,2,3]", "launcher=slurm", "wait=true"]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: sweep(*several, out=tmp_path), range(2)))
    assert sorted(each.returncode for each in done) in ([0, 0], [0, 2])
    for each in done:
        if each.returncode:
            assert "another command submits the cells" in each.stderr
    assert [len(attempts(run)) for run in runs(tmp_path)] == [1, 1, 1, 1]
    assert all((run / "result.json").exists() for run in runs(tmp_path))


def test_the_doctor_asks_it(slurm):
    def found(*overrides: str) -> str:
        [finding] = checkup(compose_sweep(["+sweep=smoke", "launcher=slurm", *overrides])[1])
        return str(finding)

    assert re.fullmatch(r"ok +slurm +slurm\S* [\d.]+ answers; partitions .*low.*", found())
    assert found("launcher.partition='low,high'").startswith("ok ")
    assert re.match(
        r"FAIL +slurm +there is no launcher.partition=none: set one of .*low",
        found("launcher.partition=none"),
    )


def test_the_doctor_notices_that_nobody_answers(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", str(slurm / "none.conf"))
    [finding] = checkup(compose_sweep(["+sweep=smoke", "launcher=slurm"])[1])
    assert re.match("FAIL +slurm +it doesn't answer .*: ask the cluster's staff", str(finding))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("launcher.partition=nowhere", "sbatch refused the jobs: sbatch: error: invalid partition specified"),
        ("launcher.gres=gpu:9", "Requested node configuration is not available"),
        ("launcher.runs_per_gpu=2", "exceeds launcher.cells_per_job=1"),
        ("launcher.minutes=0", "launcher.minutes=0 must be at least 1"),
        ("launcher.partitoin=main", "launcher.partitoin is not an option: did you mean partition?"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(slurm, tmp_path, option, words):
    done = sweep(*SMALL, "launcher=slurm", option, out=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert runs(tmp_path) == []
    assert queue() == {}


def test_code_that_changed_while_a_job_waited(slurm, tmp_path, monkeypatch):
    """A job that was planned with other code fails instead of mixing."""
    from harness.config import compose_sweep
    from harness.launch.slurm.launch import Request, submit_due
    from harness.store import cell_id

    _, launcher, cells = compose_sweep([*SMALL, f"sweep.out={tmp_path}", "launcher=slurm"])
    (tmp_path / "runs").mkdir()
    submit_due(Request(cells, {cell_id(cells[0]): "0123456789ab"}, "old", tmp_path, launcher))
    until(lambda: queue() == {})
    reason = json.loads((runs(tmp_path)[0] / "failure.json").read_text())["reason"]
    assert "the code changed from 0123456789ab" in reason


def test_submitting_from_inside_a_job(slurm, tmp_path):
    """The variables of the job that submits must not become options of those it submits."""
    command = [sys.executable, "-m", "harness.sweep", *SMALL, "launcher=slurm", f"sweep.out={tmp_path}"]
    slurm_says("srun", "-n1", "-c2", "--mem=1024", *command)
    until(lambda: runs(tmp_path) and (runs(tmp_path)[0] / "result.json").exists())
    with contextlib.suppress(subprocess.CalledProcessError):
        time.sleep(1)
        assert "NumCPUs=1 " in slurm_says("scontrol", "show", "job", last_job(tmp_path))
