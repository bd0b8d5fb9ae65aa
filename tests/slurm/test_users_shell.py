"""A real SLURM as users have it: a shell full of variables, limits of partitions, commands that answer late.

Most jobs here are held: it is their submission that is looked at.
"""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.launch.slurm import cluster
from tests.harness.sweeps import command
from tests.slurm.helpers import (
    SMALL,
    doctor_says,
    job_facts,
    queue,
    runs,
    slurm_says,
    status,
    sweep,
    until,
)

HELD = [*SMALL, "sweep.seeds=[0,1]", "launcher=slurm", "+launcher.sbatch.hold=true"]
"""Two cells in an array that is held: an option without a value."""
FILTERS = {
    "SQUEUE_STATES": "RUNNING",
    "SQUEUE_PARTITION": "low",
    "SQUEUE_USERS": "nobody",
    "SQUEUE_FORMAT": "%i",
    "SINFO_PARTITION": "low",
    "SINFO_FORMAT": "%n",
    "SCANCEL_PARTITION": "low",
    "SCANCEL_STATE": "RUNNING",
}


@pytest.fixture
def shell(slurm, monkeypatch):
    """Set variables and commands in the shell that starts sweeps, not in the one that the test looks with."""

    def run(*arguments: str, out: Path, path: Path | None = None, **variables: str):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            if path:
                patch.setenv("PATH", f"{path}:{os.environ['PATH']}")
            return sweep(*arguments, out=out)

    yield run
    for job in {id.partition("_")[0] for id in queue()}:
        slurm_says("scancel", job)
    until(lambda: queue() == {})


def impostor(folder: Path, name: str, script: str) -> None:
    """A command that stands before SLURM's own on the path; `REAL` in the script is that one."""
    folder.mkdir(exist_ok=True)
    real = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
    (folder / name).write_text("#!/bin/sh\n" + script.replace("REAL", real))
    (folder / name).chmod(0o755)


def records(out: Path) -> list[Path]:
    return sorted((out / "slurm").glob("*.json"))


def test_filters_are_not_the_truth(shell, tmp_path):
    """Jobs that the user's squeue leaves out wait all the same, and are cancelled."""
    assert shell(*HELD, out=tmp_path, **FILTERS).returncode == 0
    again = shell(*HELD, out=tmp_path, **FILTERS)
    assert "submitted" not in again.stdout
    assert "2 of 2 cells wait or run" in again.stdout
    assert "2 wait (JobHeldUser), 0 run" in again.stdout
    assert "note: jobs in SLURM: 2 wait (JobHeldUser), 0 run" in status(tmp_path)
    until(lambda: len(queue()) == 2)
    assert "2 jobs cancelled" in shell(*HELD, "cancel=true", out=tmp_path, **FILTERS).stdout
    until(lambda: queue() == {})


def test_a_hidden_partition(shell, tmp_path, monkeypatch):
    """Root sees all of them; other users' squeue leaves hidden ones out."""
    shell(*HELD, "launcher.partition=secret", out=tmp_path)
    [name] = [path.stem for path in records(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "run", functools.partial(subprocess.run, user="nobody", cwd="/"))
        assert slurm_says("squeue", "-h", f"--name={name}") == "", "it is not hidden"
        assert sorted(cluster.queue([name])[name].elements) == [0, 1]
        assert "secret" in [partition.name for partition in cluster.partitions()]


def test_defaults_for_sbatch_are_kept_and_shown(shell, tmp_path):
    """But for those that would change how jobs are run."""
    defaults = {"SBATCH_PARTITION": "low", "SBATCH_TIMELIMIT": "7"}
    others = {
        "SBATCH_ARRAY_INX": "0-5",
        "SBATCH_NO_REQUEUE": "1",
        "SBATCH_SIGNAL": "INT@1",
        "SBATCH_WAIT": "1",
        "SBATCH_OUTPUT": str(tmp_path / "elsewhere"),
        "SLURM_NTASKS": "3",
    }
    one = [*HELD, "sweep.seeds=[0]"]
    done = shell(*one, out=tmp_path / "defaults", **defaults, **others)
    assert re.search(r"^SBATCH_PARTITION=low SBATCH_TIMELIMIT=7 sbatch --cpus", done.stdout, re.MULTILINE)
    [id] = queue()
    facts = job_facts(id)
    assert facts["Partition"] == "low"
    assert facts["TimeLimit"] == "00:07:00"
    assert facts["Requeue"] == "1"
    assert facts["StdOut"].startswith(str(tmp_path / "defaults" / "slurm"))
    slurm_says("scancel", id)
    named = ["launcher.partition=high", "launcher.minutes=9"]
    done = shell(*one, *named, out=tmp_path / "named", **defaults)
    assert re.search(r"^sbatch --partition=high --time=9 ", done.stdout, re.MULTILINE)
    [id] = queue()
    assert job_facts(id)["Partition"] == "high"
    assert job_facts(id)["TimeLimit"] == "00:09:00"


def test_other_clusters_are_refused(shell, tmp_path):
    done = shell(*HELD, out=tmp_path / "out", SBATCH_CLUSTERS="far")
    assert done.returncode == 2
    assert "unset SBATCH_CLUSTERS" in done.stderr
    assert not (tmp_path / "out").exists()


def test_jobs_without_the_submitters_environment(shell, tmp_path):
    """`export: NONE`, as some sites demand: runs get what the script has, its setup's lines too."""
    python, told = tmp_path / "python", tmp_path / "told"
    python.write_text(f'#!/bin/sh\necho "mark $MARK" > {told}\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    options = ["+launcher.sbatch.export=NONE", "launcher.setup=['export MARK=here']"]
    shell(*SMALL, "launcher=slurm", *options, f"launcher.python={python}", out=tmp_path / "out")
    until(lambda: told.exists() and told.read_text().endswith("\n"))
    assert told.read_text() == "mark here\n"
    until(lambda: runs(tmp_path / "out") and (runs(tmp_path / "out")[0] / "result.json").exists())


@pytest.mark.parametrize(
    ("variables", "option", "words"),
    [
        ({}, "launcher.partition=short", "minutes=240 is more than the 5 minutes of partition short"),
        ({"SBATCH_PARTITION": "short"}, "launcher.minutes=6", "set launcher.minutes=5"),
        ({"SBATCH_TIMELIMIT": "1:00:00"}, "launcher.partition=short", "SBATCH_TIMELIMIT of 60 minutes"),
        ({"SBATCH_TIMELIMIT": "2"}, "launcher.partition=short", "told to end as it starts"),
        ({}, "launcher.gres=gpu:1", "model.gpus=2 exceeds launcher.gres=gpu:1: set launcher.gres=gpu:2"),
    ],
)  # fmt: skip
def test_jobs_that_would_never_run_are_refused(shell, tmp_path, monkeypatch, variables, option, words):
    gpus = ["model.gpus=2"] if "gres" in option else []
    done = shell(*SMALL, *gpus, "launcher=slurm", option, out=tmp_path / "out", **variables)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with monkeypatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        assert re.match(f"FAIL +slurm .*{re.escape(words)}", doctor_says(option, *gpus))


def test_a_partition_is_enough_if_one_of_several_is(slurm):
    assert doctor_says("launcher.partition='short,high'").startswith("ok ")
    assert doctor_says("launcher.partition=short", "launcher.minutes=5").startswith("ok ")


@pytest.mark.parametrize("name", ["50%a", "x%j", "half%"])
def test_a_path_that_sbatch_would_rewrite_is_refused(shell, tmp_path, name):
    done = shell(*HELD, out=tmp_path / name)
    assert done.returncode == 2
    assert "takes for a pattern" in done.stderr
    assert not (tmp_path / name).exists()
    until(lambda: queue() == {})


def test_an_error_of_sbatch_after_the_jobs_were_taken(shell, tmp_path):
    """As by a time-out on the way back: squeue is asked what became of them, no cell is submitted twice."""
    late = "REAL \"$@\" > /dev/null; echo 'sbatch: error: Socket timed out' >&2; exit 1\n"
    impostor(tmp_path / "bin", "sbatch", late)
    done = shell(*HELD, out=tmp_path / "out", path=tmp_path / "bin")
    assert done.returncode == 0, done.stderr
    again = shell(*HELD, out=tmp_path / "out")
    assert "submitted" not in again.stdout
    until(lambda: len(queue()) == 2)
    assert "2 jobs cancelled" in shell(*HELD, "cancel=true", out=tmp_path / "out").stdout


def test_sbatch_and_squeue_fail_and_the_jobs_run_all_the_same(shell, tmp_path):
    """The record stays, the next command knows the jobs, and nothing that they need was yet to be written."""
    gone = tmp_path / "gone"
    impostor(tmp_path / "bin", "sbatch", f'REAL "$@" > /dev/null; touch {gone}; sleep 600\n')
    impostor(tmp_path / "bin", "squeue", f'[ -e {gone} ] && exit 0; exec REAL "$@"\n')
    one = [*HELD, "sweep.seeds=[0]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "DEADLINE_SECONDS", 3.0)
        done = shell(*one, out=tmp_path / "out", path=tmp_path / "bin")
    assert done.returncode == 2
    assert "SLURM does not answer (squeue printed no table)" in done.stderr
    [record] = records(tmp_path / "out")
    assert '"job": ""' in record.read_text()
    again = shell(*one, out=tmp_path / "out")
    assert "submitted" not in again.stdout
    assert "1 of 1 cells wait or run" in again.stdout
    [id] = queue()
    assert f'"job": "{id}"' in record.read_text()
    slurm_says("scontrol", "release", id)
    until(lambda: runs(tmp_path / "out") and (runs(tmp_path / "out")[0] / "result.json").exists())


def test_a_refusal_leaves_no_record(shell, tmp_path):
    assert shell(*HELD, "launcher.partition=nowhere", out=tmp_path).returncode == 2
    assert records(tmp_path) == []
    assert [path for path in (tmp_path / "slurm").iterdir() if path.is_dir()] == []


def test_cancelled_tasks_are_told_and_left_while_waiting(shell, tmp_path):
    """One by scancel, the other by the sweep's own cancel=true from elsewhere."""
    follower = subprocess.Popen(
        [sys.executable, "-u", *command(*HELD, "wait=true", f"sweep.out={tmp_path}")[1:]],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        until(lambda: len(queue()) == 2)
        slurm_says("scancel", sorted(queue())[0])
        until(lambda: len(queue()) == 1)
        assert "1 job cancelled" in shell(*HELD, "cancel=true", out=tmp_path).stdout
        said, _ = follower.communicate(timeout=240)
    finally:
        follower.kill()
    assert follower.returncode == 1, said
    assert said.count("submitted 2 cells") == said.count("submitted ") - said.count("not submitted ") == 1, (
        said
    )
    assert said.count("its job was cancelled; not submitted again before the next command") == 2, said
    assert "2 of 2 cells were cancelled; to go on with them: python -m harness.sweep" in said
    until(lambda: queue() == {})
    assert "submitted 2 cells" in shell(*HELD, out=tmp_path).stdout
