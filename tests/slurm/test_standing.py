"""Where cells stand, what counts as an attempt, what a launcher's options become: no SLURM needed."""

import json
import math
import os

import pytest

from harness.compose import compose_sweep
from harness.config import SlurmConfig
from harness.errors import UserError
from harness.launch.slurm import sbatch, submission
from harness.launch.slurm.cluster import Array, Element, Partition, Unreachable, environment, minutes, table
from harness.launch.slurm.job import Job
from harness.launch.slurm.launch import is_due, without_cancelled
from harness.launch.slurm.limits import check_time, gpus
from harness.launch.slurm.notes import queue_text
from harness.launch.slurm.standing import Standing, stand
from harness.launch.slurm.submission import Submission
from harness.launch.slurm.turns import fruitless_turns, note_fruitless
from harness.store import RunDir, write_json
from tests.slurm.helpers import SMALL

SLURM = SlurmConfig(name="slurm")
LOST = Array("7", {0: Element("TIMEOUT", "")})


@pytest.fixture(autouse=True)
def bare_shell(monkeypatch):
    """The shell that tests run in may have defaults for sbatch."""
    for name in [name for name in os.environ if name.startswith("SBATCH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def config():
    return compose_sweep(SMALL)[2][0]


@pytest.fixture
def cell(config, tmp_path):
    """Where the cell stands after submissions at these iterations."""
    records = tmp_path / "slurm"
    run_dir = RunDir.create(tmp_path, config)

    def standing(*reached: int, arrays=None, **options):
        found = [
            Submission(f"x-{i}", ((run_dir.path.name,),), i, reached={run_dir.path.name: each}, job="7")
            for i, each in enumerate(reached)
        ]
        found[-1:] = [submission.replace(found[-1], **options)]
        [cell] = stand([config], records, found, {"x-0": LOST} if arrays is None else arrays)
        return cell

    def checkpoint(iteration: int) -> None:
        (run_dir.checkpoints / str(iteration)).mkdir()
        (run_dir.checkpoints / str(iteration) / "state.json").touch()

    standing.checkpoint, standing.run_dir, standing.records = checkpoint, run_dir, records
    return standing


def test_an_attempt_that_got_on_does_not_count(cell):
    """Three time limits in a row, each with progress, are no reason to give up; without it they are."""
    cell.checkpoint(30)
    assert cell(0, 10, 20).attempts == 0
    assert is_due(cell(0, 10, 20), SLURM)
    assert cell(0, 10, 20, 30).attempts == 1
    assert cell(30, 30, 30).attempts == 3
    assert not is_due(cell(30, 30, 30), SLURM)


def test_turns_of_a_job_count_singly(cell):
    """A job that was back in the queue three times for nothing has had three attempts."""
    (cell.records / "x-0").mkdir(parents=True)
    note_fruitless(cell.records / "x-0", 0, 3)
    assert cell(0).attempts == 3
    assert cell(0, 0).attempts == 4
    cell.checkpoint(1)
    assert cell(0, 0).attempts == 0


def test_what_is_lost_says_what_slurm_says(cell):
    lost = cell(0)
    assert lost.standing is Standing.lost
    assert "SLURM says TIMEOUT; the job's log may say more: " in lost.reason
    assert lost.reason.endswith("slurm/x-0/7.log")
    failed = {"x-0": Array("7", {0: Element("FAILED", "BadConstraints")})}
    assert "SLURM says FAILED (BadConstraints);" in cell(0, arrays=failed).reason
    assert "killed, cancelled, out of memory or time" in cell(0, arrays={}).reason


def test_a_record_that_sbatch_never_answered_waits_for_squeues_word(cell):
    """Known to SLURM it is alive; denied, it was no attempt."""
    waits = {"x-0": Array("7", {0: Element("PENDING", "Priority")})}
    assert cell(0, job="", arrays=waits).standing is Standing.alive
    denied = cell(0, job="", arrays={})
    assert (denied.standing, denied.attempts) == (Standing.new, 0)


def test_cancelled_is_neither_lost_nor_an_attempt(cell):
    """Elements that were cancelled before they started share one line of squeue's, without an index, or have
    none at all where others of their array go on."""
    gone = {"x-0": Array("7", {Array.REST: Element("CANCELLED", "")})}
    write_json(cell.run_dir.failure, {"reason": "of an attempt before"})
    cancelled = cell(0, arrays=gone)
    assert cancelled.standing is Standing.cancelled
    assert is_due(cancelled, SLURM), "the next command submits it"
    assert cell(0, arrays={}, cancelled=True).standing is Standing.cancelled
    forgotten = cell(0, arrays={})
    assert forgotten.standing is Standing.failed
    [still], withdrawn = without_cancelled([forgotten], {forgotten.id})
    assert (still.standing, withdrawn) == (Standing.cancelled, {forgotten.id})
    beside_others = {"x-0": Array("7", {1: Element("PENDING", "")})}
    assert cell(0, arrays=beside_others).standing is Standing.cancelled
    (cell.records / "x-0").mkdir(parents=True)
    (cell.records / "x-0" / "7.log").touch()
    cell.run_dir.failure.unlink()
    assert cell(0, arrays=beside_others).standing is Standing.lost, "it had begun"
    alive = cell(0, arrays={"x-0": Array("7", {0: Element("RUNNING", "")})})
    assert without_cancelled([alive], {alive.id}) == ([alive], set())


def test_a_job_gives_up_after_turns_without_progress(config, cell, tmp_path, monkeypatch):
    """However short its time limit is. Progress starts the count anew."""
    asked = tmp_path / "asked"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    job = Job(str(tmp_path), (), {}, SlurmConfig(name="slurm", max_attempts=2))

    def turn(iteration: int) -> bool:
        job._queue_again({config: iteration}, tmp_path, 4)
        return cell.run_dir.failure.exists()

    assert not turn(0)
    cell.checkpoint(5)
    assert not turn(0)
    assert fruitless_turns(tmp_path, 4) == 0
    assert not turn(5)
    assert turn(5)
    assert "told to end 2 times before there was a newer checkpoint" in cell.run_dir.failure.read_text()
    assert asked.read_text() == "requeue 7\n" * 3


def test_names_are_fit_for_lists_formats_and_files():
    names = [submission.new(f"a,b|c%j/ü {'x' * 400}", [["c"]], "", {}).name for _ in range(2)]
    assert len({*names}) == 2
    for name in names:
        assert name.startswith("a_b_c_j___xxx")
        assert len(name) == submission.LONGEST + 9


def test_a_record_survives_the_disk(tmp_path):
    made = submission.new("smoke", [["a", "b"], ["c"]], "sbatch", {"a": 3})
    made.save(tmp_path)
    assert submission.read_all(tmp_path) == [made]
    (tmp_path / f"{made.name}.json").write_text(json.dumps({"name": made.name}))
    with pytest.raises(UserError, match="is damaged"):
        submission.read_all(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30", 30),
        ("30:30", 30.5),
        ("2:30:00", 150),
        ("1-00:00:00", 1440),
        ("2-12", 3600),
        ("1-01:30", 1530),
        ("infinite", math.inf),
        ("UNLIMITED", math.inf),
    ],
)
def test_times_as_slurm_writes_them(text, expected):
    assert minutes(text) == expected


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "1-"])
def test_other_text_is_no_time(text):
    with pytest.raises(ValueError, match=r"invalid literal|not a time"):
        minutes(text)


def test_the_environment_of_slurms_commands(monkeypatch):
    for name in ("SQUEUE_STATES", "SINFO_ALL", "SCANCEL_USER", "SBATCH_QOS", "SLURM_JOB_ID", "SRUN_DEBUG"):
        monkeypatch.setenv(name, "x")
        assert name not in environment()
    for name in ("SLURM_CONF", "SLURM_JWT", "CUDA_HOME"):
        monkeypatch.setenv(name, "x")
        assert environment()[name] == "x"


def test_a_table_without_its_header_is_no_answer():
    with pytest.raises(Unreachable, match="true printed no table"):
        table("true", columns="%T|%j")


def test_options_become_flags(monkeypatch):
    monkeypatch.setenv("SBATCH_QOS", "mine")
    monkeypatch.setenv("SBATCH_EXCLUDE", "n1")
    monkeypatch.setenv("SBATCH_RESERVATION", "a b")
    launcher = SlurmConfig(
        name="slurm", sbatch={"contiguous": True, "hold": False, "exclude": "n2", "nice": 5}
    )
    assert sbatch.shown(launcher) == (
        "SBATCH_QOS=mine SBATCH_RESERVATION='a b' sbatch --time=240 --cpus-per-task=1 --nodes=1 --ntasks=1 "
        "--signal=USR2@120 --requeue --contiguous --exclude=n2 --nice=5 --array=0-N%256"
    )
    assert sbatch.says(launcher, "qos") == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grace_seconds": 120, "minutes": 2}, "told to end as it starts"),
        ({"sbatch": {"partition": "gpu"}}, "set launcher.partition"),
        ({"sbatch": {"cpus_per_task": 2}}, "set launcher.cpus"),
        ({"sbatch": {"array": "0-3"}}, "follows from how jobs are run"),
        ({"sbatch": {"hold": ""}}, "true for an option without a value"),
        ({"sbatch": {"exclude": ["n1"]}}, "must be a text or a number"),
    ],
)
def test_options_that_make_no_sense(options, words):
    with pytest.raises(UserError, match=words):
        SlurmConfig(name="slurm", **options)


def test_limits_of_partitions():
    partitions = [Partition("short", True, 30.0), Partition("long", False, math.inf)]
    with pytest.raises(UserError, match=r"set launcher\.minutes=30"):
        check_time(SLURM, partitions)
    for fine in ({"partition": "long"}, {"partition": "short,long"}, {"minutes": 30}, {"qos": "lifts"}):
        check_time(SlurmConfig(name="slurm", **fine), partitions)
    # What no sinfo has told is for sbatch to judge.
    check_time(SlurmConfig(name="slurm", partition="unknown"), partitions)
    check_time(SLURM, [])


@pytest.mark.parametrize(
    ("gres", "number"),
    [
        ("", None),
        ("gpu", 1),
        ("gpu:2", 2),
        ("gpu:a100:4", 4),
        ("gpu:a100", 1),
        ("shard:3,gpu:a:1,gpu:b:2", 3),
    ],
)
def test_gpus_of_a_gres(gres, number):
    assert gpus(gres) == number


def test_the_queue_in_words():
    waits = [Element("PENDING", reason) for reason in ("Priority", "Resources", "Resources", "")]
    assert queue_text(waits, 2) == "4 wait (Resources, Priority), 2 run"
    assert queue_text([], 2) == "0 wait, 2 run"
