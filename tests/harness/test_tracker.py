"""Trackers are copies: of what is settled, nothing twice, and never at a run's cost."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from harness.compose import compose_run, compose_sweep, compose_tracker
from harness.compose.composing import group_options
from harness.config import Tracker
from harness.errors import UserError
from harness.store import RunDir, append_line, cell_id, write_json
from harness.track import main
from harness.tracker import Mirror, check_tracker, writer
from harness.tracker.points import Point, merge, read_points
from tests.harness.sweeps import TINY, cells, command, sweep, sweep_alone
from tests.harness.tracked import held, owed

TRACKERS = [tracker for tracker in Tracker if tracker is not Tracker.none]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    """The user's own settings for trackers are not these tests'."""
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "TRACKIO_DIR"):
        monkeypatch.delenv(name, raising=False)


def train(run_dir: RunDir, iteration: int) -> None:
    line = {"kind": "train", "iteration": iteration, "flops": 1e10 * iteration + 1, "entropy": 1 / iteration}
    append_line(run_dir.metrics, line)


def evaluate(run_dir: RunDir, iteration: int) -> None:
    line = {"kind": "evaluation", "iteration": iteration, "flops": 1e10 * iteration + 1, "success": 0.1}
    append_line(run_dir.metrics, line)


def checkpoint(run_dir: RunDir, iteration: int) -> None:
    with run_dir.new_checkpoint(iteration, {}):
        pass


@pytest.fixture
def run_dir(tmp_path):
    """A cell whose last checkpoint is after the training of iteration 2; iteration 3 is not settled."""
    made = RunDir.create(tmp_path, compose_run([]))
    evaluate(made, 0)
    for iteration in (1, 2):
        train(made, iteration)
    checkpoint(made, 2)
    train(made, 3)
    return made


def finish(run_dir: RunDir) -> None:
    """The cell is resumed, evaluates at 2, and goes on to its end at 4."""
    run_dir.rewind()
    evaluate(run_dir, 2)
    checkpoint(run_dir, 2)
    for iteration in (3, 4):
        train(run_dir, iteration)
    evaluate(run_dir, 4)
    write_json(run_dir.result, {"final_success": 0.25, "scores": [0.25]})


def track(store: Path, tracker: Tracker, code: str) -> int:
    """Run `code` on a `mirror` of the store in a process of its own; returns how it ended."""
    script = (
        "import os, sys; from pathlib import Path; from harness.config import Tracker;"
        "from harness.tracker import Mirror;"
        f"mirror = Mirror(Path({str(store)!r}), Tracker.{tracker.name}); {code}"
    )
    return subprocess.run([sys.executable, "-c", script], timeout=300).returncode


COPY = "sys.exit(bool(mirror.run(stopped=lambda: True)))"
COPY_AND_DIE = "assert not mirror.copy(); os.kill(os.getpid(), 9)"


def test_a_point_is_settled_and_whole(run_dir):
    points, finished = read_points(run_dir)
    assert [point.iteration for point in points] == [0, 1], "2 may be evaluated yet, 3 may be taken back"
    assert not finished
    finish(run_dir)
    points, finished = read_points(run_dir)
    assert {point.iteration: point.values for point in points} == owed(run_dir.path)
    assert finished


def test_only_numbers_are_points():
    line = {"kind": "train", "iteration": 1, "note": "x", "list": [1], "tokens": 7, "none": None, "gain": 2.0}
    assert merge([line]) == [Point(1, {"spent/tokens": 7, "train/gain": 2.0})]


@pytest.mark.parametrize("tracker", TRACKERS)
def test_what_is_held_is_what_was_written_however_often_both_died(tracker, run_dir, tmp_path):
    pytest.importorskip(tracker.value)
    assert track(tmp_path, tracker, COPY_AND_DIE) == -9
    finish(run_dir)
    assert track(tmp_path, tracker, COPY_AND_DIE) == -9
    state = tmp_path / "trackers" / tracker.value / "mirror.json"
    # As if it had died just before it noted that the cell is finished.
    write_json(state, {**json.loads(state.read_text()), "finished": []})
    assert track(tmp_path, tracker, COPY) == 0
    found, expected = held(tmp_path, tracker.value, run_dir.path.name), owed(run_dir.path)
    if tracker is Tracker.tensorboard:  # holds single precision
        expected = {
            i: {k: pytest.approx(v, rel=1e-7) for k, v in each.items()} for i, each in expected.items()
        }
    assert found == expected
    assert track(tmp_path, tracker, COPY) == 0
    assert held(tmp_path, tracker.value, run_dir.path.name) == expected, "once more copies nothing"


class Broken:
    """A tracker whose network is gone."""

    sent = -1

    def __init__(self, cell: writer.Copied) -> None:
        if "s1" in cell.name:
            raise OSError("no\nnetwork")

    def write(self, points):
        """Keep nothing."""

    def close(self, finished):
        """Close nothing."""


class Noting:
    """A tracker that notes which cells it was given."""

    sent = -1

    def __init__(self, cell: writer.Copied, names: list[str]) -> None:
        self.name, self.names = cell.name, names

    def write(self, points):
        """Note the cell."""
        self.names.append(self.name)

    def close(self, finished):
        """Close nothing."""


def test_a_cell_that_can_not_be_copied_does_not_stop_the_others(tmp_path, monkeypatch, capfd):
    for seed in (0, 1, 2):
        finish(RunDir.create(tmp_path, compose_run([f"seed={seed}"])))
    monkeypatch.setattr("harness.tracker.mirror.open_writer", lambda tracker, cell: Broken(cell))
    monkeypatch.setattr("harness.track.check_tracker", lambda tracker: None)
    assert main([str(tmp_path), "--to", "wandb"]) == 1
    error = capfd.readouterr().err.splitlines()[-1]
    assert error == f"not copied: {cell_id(compose_run(['seed=1']))}: OSError: no network"
    state = json.loads((tmp_path / "trackers" / "wandb" / "mirror.json").read_text())
    assert len(state["finished"]) == 2


def test_one_mirror_at_a_time(tmp_path):
    first, second = (Mirror(tmp_path, Tracker.wandb) for _ in range(2))
    assert first.copy() == []
    assert second.copy() == ["another process copies this store"]


def test_a_mirror_that_was_taken_for_dead_leaves_the_store_to_the_other(tmp_path, monkeypatch):
    """And takes over again from what the other had copied, when that one is dead."""
    sent: list[str] = []
    monkeypatch.setattr("harness.tracker.mirror.open_writer", lambda tracker, cell: Noting(cell, sent))
    names = [cell_id(compose_run([f"seed={seed}"])) for seed in (0, 1, 2)]
    finish(RunDir.create(tmp_path, compose_run(["seed=0"])))
    mirror = Mirror(tmp_path, Tracker.wandb)
    assert mirror.copy() == []
    other, state = mirror.folder / "lease.2", mirror.folder / "mirror.json"
    other.write_text(json.dumps({"machine": "another boot", "host": "n7", "pid": 1, "started": 1}))
    write_json(state, {**json.loads(state.read_text()), "finished": names[:2]})
    for seed in (1, 2):
        finish(RunDir.create(tmp_path, compose_run([f"seed={seed}"])))
    assert mirror.copy() == ["another process copies this store"]
    os.utime(other, (1e9, 1e9))
    assert mirror.copy() == []
    assert sent == [names[0], names[2]]


def test_a_tracker_is_no_part_of_a_cell():
    _, _, plain = compose_sweep(["+sweep=smoke"])
    for name in group_options("tracker"):
        overrides = ["+sweep=smoke", f"tracker={name}"]
        assert compose_tracker(overrides).name.value == name
        assert [cell_id(cell) for cell in compose_sweep(overrides)[2]] == [cell_id(cell) for cell in plain]


def test_every_tracker_has_an_option_and_an_extra():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert group_options("tracker") == sorted(tracker.value for tracker in Tracker)
    assert {tracker.value for tracker in TRACKERS} <= project["optional-dependencies"].keys()


@pytest.mark.parametrize("spec", [None, importlib.util.spec_from_file_location("wandb", None)])
def test_a_missing_extra_is_named(spec, monkeypatch):
    """A folder `wandb`, which wandb itself leaves behind, is none."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"tracker=wandb needs an extra: pip install 'creditbench\[wandb\]'"):
        check_tracker(Tracker.wandb)


def test_bad_input_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("harness.track.check_tracker", lambda tracker: None)
    assert main([str(tmp_path), "--to", "wandb"]) == 2
    assert "holds no runs" in capsys.readouterr().err
    with pytest.raises(UserError, match="there are mlflow, none, tensorboard, trackio, wandb"):
        compose_tracker(["+sweep=smoke", "tracker=excel"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_broken_tracker_costs_a_sweep_one_line_and_a_killed_sweep_is_copied_whole(tmp_path):
    """Both have the same numbers, byte by byte."""
    pytest.importorskip("tensorboard")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tensorboard.py").write_text("raise OSError('broken')")
    calm = sweep_alone(*TINY, "sweep.out=store", "tracker=tensorboard", cwd=broken)
    assert calm.returncode == 0, calm.stderr
    (warning,) = [line for line in calm.stderr.splitlines() if "tracker=" in line]
    assert warning.startswith("warning: tracker=tensorboard has not everything, the results are not affected")

    mirrored = [*TINY, "sweep.out=store", "tracker=tensorboard"]
    process = subprocess.Popen(
        command(*mirrored), cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "store").glob("runs/*/checkpoints/*/state.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = sweep(*mirrored, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "tracker=" not in again.stderr
    assert cells(tmp_path / "store") == cells(broken / "store")
    for run_dir in (tmp_path / "store" / "runs").iterdir():
        found, expected = held(tmp_path / "store", "tensorboard", run_dir.name), owed(run_dir)
        assert found.keys() == expected.keys()
        assert all(found[i] == pytest.approx(expected[i], rel=1e-7) for i in expected)
