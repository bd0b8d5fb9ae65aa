"""The run store: nothing is torn, one writer, newest complete checkpoint wins."""

import multiprocessing
import os
import time
from contextlib import suppress

import pytest

import harness.store.run_dir
from harness.compose import compose_run
from harness.lease import held
from harness.store import RunDir, append_line, read_json, write_json
from harness.store.checksums import Damaged
from harness.store.files import replacing
from harness.store.run_dir import remove_checkpoint


@pytest.fixture
def run_dir(tmp_path):
    return RunDir.create(tmp_path, compose_run([]))


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with suppress(RuntimeError), replacing(path) as temporary:
        temporary.write_bytes(b"{torn")
        raise RuntimeError
    assert read_json(path) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


def hold(path, ready, release) -> None:
    with RunDir(path).lease(lost=release.set) as lease:
        assert lease
        ready.set()
        release.wait()


def test_one_writer_and_a_dead_one_lets_go(run_dir):
    context = multiprocessing.get_context("fork")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(run_dir.path, ready, release))
    process.start()
    ready.wait()
    assert held(run_dir.path, time.time())
    with run_dir.lease(lost=ready.set) as lease:
        assert lease is None
    process.kill()
    process.join()
    with run_dir.lease(lost=ready.set) as lease:
        assert lease
    assert list(run_dir.path.glob("*lease*")) == [], "nothing is left behind"


def test_rewind_takes_the_newest_complete_checkpoint(run_dir):
    assert run_dir.rewind().checkpoint is None
    for iteration in (1, 2, 3):
        append_line(run_dir.metrics, {"iteration": iteration})
        with run_dir.new_checkpoint(iteration, {"iteration": iteration}) as folder:
            (folder / "policy.safetensors").write_bytes(b"x")
    assert [path.name for path in run_dir.complete_checkpoints()] == ["2", "3"], "the last two are kept"
    whole = run_dir.metrics.read_bytes()
    with run_dir.metrics.open("ab") as file:
        file.write(b'{"iteration": 4}\n{"torn')
    (run_dir.checkpoints / "9").mkdir()
    (run_dir.checkpoints / "9" / "policy.safetensors").write_bytes(b"half")
    assert run_dir.rewind().checkpoint == run_dir.checkpoints / "3"
    assert run_dir.metrics.read_bytes() == whole


def test_an_interrupted_checkpoint_is_not_one(run_dir):
    """And gives its room back: on a full disk it is needed to say why the run failed."""
    with suppress(OSError), run_dir.new_checkpoint(1, {}) as folder:
        (folder / "policy.safetensors").write_bytes(b"half")
        raise OSError("the disk is full")
    assert list(run_dir.checkpoints.iterdir()) == []


def test_a_second_checkpoint_of_an_iteration_takes_the_place_of_the_first(run_dir):
    for content in (b"x", b"y"):
        with run_dir.new_checkpoint(1, {}) as folder:
            (folder / "policy.safetensors").write_bytes(content)
    assert [path.name for path in run_dir.checkpoints.iterdir()] == ["1"]
    assert (run_dir.checkpoints / "1" / "policy.safetensors").read_bytes() == b"y"


def test_a_half_removed_checkpoint_is_none(run_dir, monkeypatch):
    def killed(folder, ignore_errors=False) -> None:
        raise KeyboardInterrupt

    for iteration in (1, 2):
        with run_dir.new_checkpoint(iteration, {}) as folder:
            (folder / "policy.safetensors").write_bytes(b"x")
    with monkeypatch.context() as patch:
        patch.setattr(harness.store.run_dir.shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            remove_checkpoint(run_dir.checkpoints / "2")
    assert (run_dir.checkpoints / "2" / "policy.safetensors").exists()
    assert run_dir.rewind().checkpoint == run_dir.checkpoints / "1"


@pytest.fixture
def two_checkpoints(run_dir):
    """Checkpoints 1 and 2, each after a line of metrics and of timing, and a line of both after them."""
    for iteration in (1, 2, 3):
        append_line(run_dir.metrics, {"iteration": iteration})
        append_line(run_dir.timing, {"iteration": iteration})
        if iteration < 3:
            with run_dir.new_checkpoint(iteration, {"seconds": 0.5}) as folder:
                (folder / "policy.safetensors").write_bytes(b"weights")
    return run_dir


def flip(path, place) -> None:
    """Turn one bit over."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


FIRST = '{"iteration": 1}\n'
DAMAGES = {
    "bit": (
        lambda run: flip(run.checkpoints / "2" / "policy.safetensors", 3),
        "policy.safetensors is not what was",
    ),
    "cut": (
        lambda run: (run.checkpoints / "2" / "policy.safetensors").write_bytes(b"weig"),
        "policy.safetensors is",
    ),
    "gone": (
        lambda run: (run.checkpoints / "2" / "policy.safetensors").unlink(),
        "policy.safetensors is missing",
    ),
    "number": (
        lambda run: rewrite(run.checkpoints / "2" / "state.json", "0.5", "0.6"),
        "state.json is not what was",
    ),
    "state": (
        lambda run: (run.checkpoints / "2" / "state.json").write_bytes(b"{}"),
        "state.json can't be read",
    ),
    "line": (lambda run: flip(run.metrics, len(FIRST) + 3), "metrics.jsonl is not what was written"),
    "digit": (lambda run: rewrite(run.metrics, "2", "5"), "metrics.jsonl is not what was written"),
    "short": (lambda run: run.metrics.write_text(FIRST), "metrics.jsonl is not what was written"),
    "times": (lambda run: rewrite(run.timing, "2", "5"), "timing.jsonl is not what was written"),
}
"""What is done to the newest checkpoint, or to the lines that only it goes on from, and what is said."""


def rewrite(path, old, new) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(name, two_checkpoints):
    damage, words = DAMAGES[name]
    damage(two_checkpoints)
    rewound = two_checkpoints.rewind()
    assert rewound.checkpoint == two_checkpoints.checkpoints / "1"
    [line] = rewound.damages
    assert line.startswith(f"checkpoint 2 is damaged ({words}")
    assert line.endswith("going on from checkpoint 1")
    assert two_checkpoints.metrics.read_text() == FIRST
    assert two_checkpoints.complete_checkpoints() == [rewound.checkpoint], "the damaged one is gone"


@pytest.mark.parametrize(
    "damage", [lambda path: flip(path, 2), lambda path: path.write_bytes(b""), os.unlink]
)
def test_lines_that_no_checkpoint_agrees_with_start_the_cell_anew(damage, two_checkpoints):
    damage(two_checkpoints.metrics)
    rewound = two_checkpoints.rewind()
    assert rewound.checkpoint is None
    assert [line.partition(":")[2] for line in rewound.damages] == [" none is intact, starting afresh"] * 2
    assert two_checkpoints.metrics.read_bytes() == b""
    assert two_checkpoints.complete_checkpoints() == []


def test_a_damaged_line_after_the_checkpoint_is_cut_off_and_not_counted(two_checkpoints):
    with two_checkpoints.metrics.open("ab") as file:
        file.write(b'\0\0\0\n{"iteration": \xff}\n7\n{"iteration": 4}\n{"torn')
    rewound = two_checkpoints.rewind()
    assert rewound.checkpoint == two_checkpoints.checkpoints / "2"
    assert rewound.damages == []
    assert rewound.metrics == [{"iteration": 3}, {"iteration": 4}]


def test_what_killed_attempts_left_half_made_is_removed(two_checkpoints):
    (two_checkpoints.checkpoints / ".7.tmp").mkdir()
    (two_checkpoints.checkpoints / ".7.tmp" / "policy.safetensors").write_bytes(b"half")
    (two_checkpoints.path / ".result.json.77.tmp").write_bytes(b"half")
    two_checkpoints.attempts.write_bytes(b'{"pid": 1}\n{"pid"')
    two_checkpoints.rewind()
    assert sorted(path.name for path in two_checkpoints.checkpoints.iterdir()) == ["1", "2"]
    assert not list(two_checkpoints.path.glob(".*"))
    append_line(two_checkpoints.attempts, {"pid": 2})
    assert two_checkpoints.attempts.read_text() == '{"pid": 1}\n{"pid": 2}\n'


def test_settled_metrics_are_those_that_were_written(two_checkpoints):
    assert two_checkpoints.settled_metrics() == [{"iteration": 1}, {"iteration": 2}]
    rewrite(two_checkpoints.metrics, "2", "5")
    with pytest.raises(Damaged, match=r"metrics\.jsonl is not what was written"):
        two_checkpoints.settled_metrics()
