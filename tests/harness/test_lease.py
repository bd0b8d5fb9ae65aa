"""One writer: the dead are followed by one, the living by none, and who was only held up notices."""

import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness import lease
from harness.lease import STALE_SECONDS, LeaseLost, held, take

ELSEWHERE = {"machine": "another boot", "host": "n7", "pid": 1, "started": 1}


def write(folder: Path, number: int, owner: object, age: float = 0.0) -> Path:
    path = folder / f"lease.{number}"
    path.write_text(owner if isinstance(owner, str) else json.dumps(owner))
    os.utime(path, (time.time() - age,) * 2)
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_live_holder_keeps_it_and_leaves_nothing_behind(tmp_path):
    mine = take(tmp_path)
    assert mine
    assert held(tmp_path, time.time())
    assert take(tmp_path) is None
    assert names(tmp_path) == {"lease.1"}
    mine.release()
    assert names(tmp_path) == set()
    assert not held(tmp_path, time.time())


def hold(folder: Path, ready) -> None:
    assert take(folder)
    ready.set()
    time.sleep(60)


def test_a_killed_holder_of_this_machine_is_followed_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    ready.wait()
    assert take(tmp_path) is None
    process.kill()
    process.join()
    assert take(tmp_path)
    assert names(tmp_path) == {"lease.2"}


def test_a_pid_that_was_given_to_another_process_is_not_the_holder(tmp_path):
    write(tmp_path, 1, {**lease.me(), "started": 1})
    assert not held(tmp_path, time.time())
    assert take(tmp_path)


@pytest.mark.parametrize("owner", [ELSEWHERE, "", "[]", '{"machine": '])
def test_a_holder_elsewhere_is_dead_when_it_was_silent_for_long(tmp_path, owner):
    """A file that says nothing of its owner is treated as one of another machine."""
    path = write(tmp_path, 4, owner, age=STALE_SECONDS - 20)
    assert take(tmp_path) is None
    os.utime(path, (time.time() - STALE_SECONDS - 1,) * 2)
    assert take(tmp_path)
    assert names(tmp_path) == {"lease.5"}


def test_beats_keep_a_lease_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    mine = take(tmp_path)
    os.utime(mine.path, (1e9, 1e9))
    with mine.beating(lost=lambda: None):
        deadline = time.monotonic() + 120
        while mine.path.stat().st_mtime == 1e9:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("number", [1, 2])
def test_a_holder_that_was_taken_for_dead_notices(tmp_path, number, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    mine = take(tmp_path)
    mine.check()
    write(tmp_path, number, ELSEWHERE)
    with pytest.raises(LeaseLost, match="taken for dead"):
        mine.check()
    told = threading.Event()
    with mine.beating(lost=told.set):
        assert told.wait(120)
    mine.release()
    assert f"lease.{number}" in names(tmp_path), "what is another's is not removed"


def test_a_holder_whose_folder_is_moved_notices(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.01)
    folder = tmp_path / "store" / "cell"
    folder.mkdir(parents=True)
    mine = take(folder)
    told = threading.Event()
    with mine.beating(lost=told.set):
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        assert told.wait(10)
    with pytest.raises(LeaseLost, match="is gone: it was moved or removed"):
        mine.check()
    mine.release()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_that_try_at_once_one_succeeds(tmp_path, dead, monkeypatch):
    # Threads of one process, so the file that each tries with needs a name of its own.
    monkeypatch.setattr(lease.os, "getpid", lambda: f"{os.getppid()}-{threading.get_ident()}")
    monkeypatch.setattr(lease, "started", lambda pid: 1)
    for round in range(50):
        folder = tmp_path / str(round)
        folder.mkdir()
        if dead:
            write(folder, 3, ELSEWHERE, age=1000)
        barrier = threading.Barrier(8)

        def attempt(_, folder=folder, barrier=barrier):
            barrier.wait()
            return take(folder)

        with ThreadPoolExecutor(8) as pool:
            won = [each for each in pool.map(attempt, range(8)) if each]
        assert len(won) == 1
        assert names(folder) == {won[0].path.name}
