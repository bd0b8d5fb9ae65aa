"""The run store: nothing is torn, one writer, newest complete checkpoint wins."""

import multiprocessing
from contextlib import suppress

import pytest

import harness.store.run_dir
from harness.config import compose_run
from harness.store import RunDir, State, append_line, read_json, write_json
from harness.store.files import replacing


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


def test_states(run_dir):
    assert run_dir.state() is State.waiting
    write_json(run_dir.failure, {"reason": "x"})
    assert run_dir.state() is State.failed
    write_json(run_dir.result, {})
    assert run_dir.state() is State.done


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
    assert run_dir.state() is State.running
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
    with suppress(OSError), run_dir.new_checkpoint(1, {}) as folder:
        (folder / "policy.safetensors").write_bytes(b"half")
        raise OSError("the disk is full")
    assert run_dir.complete_checkpoints() == []


def test_a_checkpoint_that_is_being_replaced_is_not_taken_for_whole(run_dir, monkeypatch):
    """Two checkpoints of one iteration, and a kill while the first is half removed: the one before counts."""
    for iteration in (1, 2):
        with run_dir.new_checkpoint(iteration, {}) as folder:
            (folder / "policy.safetensors").write_bytes(b"x")

    def killed(folder, ignore_errors=False) -> None:
        if folder.name != "2":
            return
        (folder / "policy.safetensors").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(harness.store.run_dir.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt), run_dir.new_checkpoint(2, {}) as folder:
        (folder / "policy.safetensors").write_bytes(b"y")
    assert run_dir.rewind().checkpoint == run_dir.checkpoints / "1"
