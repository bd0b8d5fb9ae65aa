"""Sweeps on a real SLURM: whatever happens to the jobs, the numbers are those of undisturbed runs."""

import json
import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.compose import compose_sweep
from harness.launch.slurm.launch import submit_due
from harness.launch.slurm.request import Request
from harness.store import cell_id
from harness.sweep import main
from tests.harness.sweeps import sweep_alone
from tests.slurm.helpers import (
    LONG,
    SMALL,
    attempts,
    doctor_says,
    has_got_on,
    job_facts,
    metrics,
    over,
    queue,
    runs,
    slurm_says,
    submitted,
    sweep,
    undisturbed,
    until,
    workers,
)


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> dict[str, bytes]:
    """What LONG measures when nothing happens to it."""
    return undisturbed(*LONG, out=tmp_path_factory.mktemp("calm"))


def collected(out: Path, *arguments: str) -> None:
    """The same command again, now followed, ends with a report."""
    done = sweep(*arguments, "launcher=slurm", "wait=true", out=out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (out / "report.html").exists()


def test_an_array_ends_with_a_report_and_two_commands_at_once_run_no_cell_twice(slurm, tmp_path):
    """Four cells in two jobs, which run their two at once, on a GPU of their own."""
    several = [*SMALL, "sweep.algorithms=[grpo,steppo]", "sweep.seeds=[0,1]"]
    jobs = ["launcher.cells_per_job=2", "launcher.runs_per_gpu=2", "launcher.cpus=2", "launcher.gres=gpu:1"]
    out = tmp_path / "jobs"
    with ThreadPoolExecutor(2) as pool:
        command = [*several, *jobs, "launcher=slurm", "wait=true", f"sweep.out={out}"]
        done = list(pool.map(lambda _: sweep_alone(*command, cwd=tmp_path), range(2)))
    assert sorted(each.returncode for each in done) in ([0, 0], [0, 2]), done
    for each in done:
        if each.returncode:
            assert "another command submits the cells" in each.stderr
    [said] = [each.stdout for each in done if "submitted" in each.stdout]
    assert "submitted 4 cells" in said
    assert "--gres=gpu:1" in said
    assert said.count("success 0.00") == 4
    assert (out / "report.html").stat().st_size > 10_000
    assert metrics(out) == undisturbed(*several, out=tmp_path / "calm")
    tried = [attempt for run in runs(out) for attempt in attempts(run)]
    assert len({attempt["pid"] for attempt in tried}) == len(tried) == 4
    assert len({(attempt["job"], attempt["gpus"]) for attempt in tried}) == 2
    assert {attempt["gpus"] for attempt in tried} <= {"0", "1"}
    until(lambda: queue() == {})
    again = sweep(*several, *jobs, "launcher=slurm", out=out)
    assert again.returncode == 0
    assert "submitted" not in again.stdout


def test_seeds_until_it_is_decided(slurm, tmp_path):
    """Without waiting, a command submits one look's cells; the next one goes on from what they wrote."""
    arms = [each for each in SMALL if not each.startswith("sweep.algorithms")]
    asked = [*arms, "sweep.algorithms=[grpo,steppo]", "sweep.seeds=until_decided", "sweep.max_seeds=9"]
    first = sweep(*asked, "launcher.cells_per_job=6", "launcher=slurm", out=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "submitted 12 cells" in first.stdout
    assert "after 6 seeds" not in first.stdout
    done = sweep(*asked, "launcher.cells_per_job=6", "launcher=slurm", "wait=true", out=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "after 6 seeds: step − trajectory usually alike\n" in done.stdout
    assert len(runs(tmp_path)) == 12, "nine seeds were allowed, six were enough"
    assert (tmp_path / "report.html").exists()


def test_what_fails_is_tried_so_often_and_said(slurm_with_accounting, tmp_path):
    """One cell diverges, the other is not kept from its end."""
    diverging = [
        *SMALL,
        "sweep.algorithms=['grpo model.lr=1e30',grpo]",
        "budget.limit=200",
        "launcher.max_attempts=2",
        "launcher.cells_per_job=2",
    ]
    done = sweep(*diverging, "launcher=slurm", "wait=true", out=tmp_path)
    assert done.returncode == 1
    assert "(attempt 1 of 2)" in done.stdout
    assert done.stdout.count("FAILED: ") == 1
    assert "not finite" in done.stdout
    assert "1 of 2 cells diverged: that counts 0, and would happen again" in done.stderr
    assert (tmp_path / "report.html").exists()
    assert sorted(len(attempts(run)) for run in runs(tmp_path)) == [1, 2]
    # What jobs fail with, SLURM says too.
    until(lambda: "ExitCode=1:0" in slurm_says("scontrol", "show", "job", last_job(tmp_path)))
    until(lambda: slurm_says("sacct", "-n", "-X", "-o", "State").split() == ["FAILED"] * 2)


def last_job(out: Path) -> str:
    records = [json.loads(path.read_text()) for path in (out / "slurm").glob("*.json")]
    return max(records, key=lambda record: record["submitted"])["job"]


def test_preempted_and_requeued_by_hand(slurm, tmp_path, calm):
    """By a better partition, with a warning; and by an administrator, without one."""
    job = submitted(*LONG, "launcher.partition=low", "launcher.cpus=4", out=tmp_path)[0]
    until(lambda: has_got_on(tmp_path))
    slurm_says("srun", "-p", "high", "-N2", "--exclusive", "true")
    until(lambda: has_got_on(tmp_path, attempt=2))
    slurm_says("scontrol", "requeue", job)
    until(lambda: over([job]))
    tried = attempts(runs(tmp_path)[0])
    assert [attempt["job"] for attempt in tried] == [job] * 3
    assert 0 < tried[1]["iteration"] < tried[2]["iteration"]
    assert sum(tried[1]["redone"].values()) == 0, "it wrote a checkpoint when it was told to end"
    assert metrics(tmp_path) == calm


def test_killed_cancelled_and_submitted_again(slurm, tmp_path, calm):
    jobs = submitted(*LONG, out=tmp_path)
    until(lambda: has_got_on(tmp_path))
    os.kill(workers(tmp_path)[0], signal.SIGKILL)
    until(lambda: over(jobs))
    jobs += submitted(*LONG, out=tmp_path)
    until(lambda: has_got_on(tmp_path, attempt=2))
    slurm_says("scancel", "--signal=KILL", jobs[-1])
    until(lambda: over(jobs))
    jobs += submitted(*LONG, out=tmp_path)
    until(lambda: has_got_on(tmp_path, attempt=3))
    done = sweep(*LONG, "launcher=slurm", "cancel=true", out=tmp_path)
    assert "1 job cancelled\n" in done.stdout
    until(lambda: over(jobs))
    assert not (runs(tmp_path)[0] / "result.json").exists()
    assert not (tmp_path / "report.html").exists()
    collected(tmp_path, *LONG)
    tried = attempts(runs(tmp_path)[0])
    assert [attempt["job"] for attempt in tried[:3]] == jobs
    assert len({attempt["job"] for attempt in tried}) == len(tried) == 4
    assert sum(tried[3]["redone"].values()) == 0, "a cancelled job has time for a checkpoint"
    assert metrics(tmp_path) == calm


@pytest.mark.slow
def test_out_of_time(slurm, tmp_path):
    """SLURM looks at time limits twice a minute, and warns when less than the grace is left."""
    much = [*LONG, "budget.limit=1e6"]
    job = submitted(*much, "launcher.minutes=600", "launcher.grace_seconds=300", out=tmp_path)[0]
    until(lambda: has_got_on(tmp_path))
    over_soon = int(job_facts(job)["RunTime"].split(":")[1]) + 3
    slurm_says("scontrol", "update", f"jobid={job}", f"timelimit={over_soon}")
    until(lambda: job_facts(job)["Restarts"] == "1")
    slurm_says("scontrol", "update", f"jobid={job}", "timelimit=600")
    until(lambda: has_got_on(tmp_path, attempt=2))
    slurm_says("scancel", job)
    first, second = attempts(runs(tmp_path)[0])
    assert first["job"] == second["job"] == job
    assert second["iteration"] > 0
    assert sum(second["redone"].values()) == 0


def test_a_warning_while_a_job_is_starting_is_no_failure(slurm, tmp_path):
    """It is queued again, however long its imports take."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    told = hidden / "told"
    (hidden / "sitecustomize.py").write_text(
        "import importlib.abc, os, pathlib, sys, time\n"
        f"told = pathlib.Path({str(told)!r})\n"
        "class Slow(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'harness.launch.slurm.job':\n"
        "            (told.parent / 'importing').touch()\n"
        "            while not told.exists():\n"
        "                time.sleep(0.1)\n"
        "if any('harness.launch.slurm' in word for word in sys.orig_argv):\n"
        "    sys.meta_path.insert(0, Slow())\n"
    )
    setup = f"launcher.setup=['export PYTHONPATH={hidden}:$PYTHONPATH']"
    [job] = submitted(*SMALL, setup, out=tmp_path / "out")
    until((hidden / "importing").exists)
    slurm_says("scancel", "--signal=USR2", job)
    told.touch()
    until(lambda: job_facts(job)["Restarts"] == "1")
    until(lambda: over([job]))
    assert [attempt["job"] for attempt in attempts(runs(tmp_path / "out")[0])] == [job]
    assert (runs(tmp_path / "out")[0] / "result.json").exists()


def test_nodes_are_drained_and_the_controller_dies(slurm, tmp_path, calm):
    """Cells wait for nodes, and run on without a controller; who asks then is told so."""
    slurm_says("scontrol", "update", "nodename=n[1-2]", "state=drain", "reason=test")
    try:
        jobs = submitted(*LONG, out=tmp_path)
        again = sweep(*LONG, "launcher=slurm", out=tmp_path)
        assert "1 of 1 cells wait or run" in again.stdout
        assert "submitted" not in again.stdout
        assert list(queue()) == jobs
    finally:
        slurm_says("scontrol", "update", "nodename=n[1-2]", "state=resume")
    until(lambda: has_got_on(tmp_path))
    os.kill(int((slurm / "slurmctld.pid").read_text()), signal.SIGKILL)
    try:
        done = sweep(*LONG, "launcher=slurm", out=tmp_path)
        assert done.returncode == 2
        assert re.match("error: SLURM does not answer .*: nothing was done", done.stderr)
        assert "\n" not in done.stderr.rstrip()
        new = sweep(*LONG, "launcher=slurm", out=tmp_path / "new")
        assert new.returncode == 2
        assert re.match("error: SLURM does not answer .*: nothing was done[^\\n]*\\n$", new.stderr)
        assert not (tmp_path / "new").exists()
        assert re.match("FAIL +slurm +it doesn't answer .*: ask the cluster's staff", doctor_says())
    finally:
        subprocess.run([Path(__file__).parent / "up.sh", slurm], check=True, timeout=90)
    collected(tmp_path, *LONG)
    assert metrics(tmp_path) == calm


def test_the_doctor_asks_it(slurm):
    assert re.fullmatch(r"ok +slurm +slurm\S* [\d.]+ answers; partitions .*low.*", doctor_says())
    assert doctor_says("launcher.partition='low,high'").startswith("ok ")
    assert re.match(
        r"FAIL +slurm +there is no partition none: set launcher.partition, one of .*low",
        doctor_says("launcher.partition=none"),
    )


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("launcher.partition=nowhere", "did not take the jobs: sbatch: error: invalid partition specified"),
        ("launcher.gres=gpu:9", "Requested node configuration is not available"),
        ("launcher.runs_per_gpu=2", "exceeds launcher.cells_per_job=1"),
        ("launcher.minutes=-1", "launcher.minutes=-1 must not be negative"),
        ("launcher.partitoin=main", "launcher.partitoin is not an option: did you mean partition?"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(slurm, tmp_path, option, words, capfd):
    assert main([*SMALL, "launcher=slurm", option, f"sweep.out={tmp_path}"]) == 2
    said = capfd.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert runs(tmp_path) == []


def test_code_that_changed_while_a_job_waited(slurm, tmp_path):
    """A job that was planned with other code fails instead of mixing."""
    _, launcher, cells = compose_sweep([*SMALL, f"sweep.out={tmp_path}", "launcher=slurm"])
    (tmp_path / "runs").mkdir()
    submit_due(Request(cells, {cell_id(cells[0]): "0123456789ab"}, "old", tmp_path, launcher))
    until(lambda: list(tmp_path.glob("runs/*/failure.json")))
    reason = json.loads((runs(tmp_path)[0] / "failure.json").read_text())["reason"]
    assert "the code changed from 0123456789ab" in reason


def test_submitting_from_inside_a_job(slurm, tmp_path):
    """The variables of the job that submits must not become options of those it submits."""
    command = [sys.executable, "-m", "harness.sweep", *SMALL, "launcher=slurm", f"sweep.out={tmp_path}"]
    slurm_says("srun", "-n1", "-c2", "--mem=1024", *command)
    assert "NumCPUs=1 " in slurm_says("scontrol", "show", "job", last_job(tmp_path))
    until(lambda: runs(tmp_path) and (runs(tmp_path)[0] / "result.json").exists())
