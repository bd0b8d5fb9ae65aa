"""Games of other packages: positions, memory, processes and their limits."""

import gc
import os
import random
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from envs.engines import Game
from envs.engines.stage import Stage
from envs.engines.worker import ENDED, EngineFailed, Limits, Worker, Workers
from harness.rollout.environments import answer
from tests.envs.engine_of_counts import Counts

ENGINE = "tests.envs.engine_of_counts:Counts"
LIMITS = Limits(workers=2, room=4, seconds=300, memory_bytes=2**30, network=False)


@pytest.fixture
def worker():
    worker = Worker(ENGINE, LIMITS)
    yield worker
    worker.close()


def walk(game: Game, *commands: str):
    place = game.start()
    for command in commands:
        place = game.follow(place, command)
    return place


def test_a_position_is_reached_from_wherever_games_stand():
    stage = Stage(Counts, room=2)
    assert stage.scene("5", ["add", "add"]).key == "7"
    assert stage.scene("5", ["add", "add", "add"]).metrics["turns"] == 3
    assert stage.scene("5", ["look"]).key == "5"
    assert stage.scene("9", ["add"]).key == "10"
    assert stage.scene("5", ["add", "add", "add", "add"]).key == "9"
    stage.close()


def test_the_game_furthest_on_the_way_goes_on():
    """With room for two, games that take turns never begin again."""
    calls = []

    class Counted(Counts):
        def start(self):
            calls.append("start")
            return super().start()

    stage = Stage(Counted, room=2)
    for turn in range(1, 6):
        stage.scene("0", ["add"] * turn)
        stage.scene("0", ["look"] + ["add"] * turn)
    assert calls == ["start", "start"]
    stage.scene("0", ["no", "way"])
    assert len(calls) == 3


def test_each_game_has_dice_of_its_own():
    """Packages that draw from the global generator are repeatable beside others, and leave ours alone."""
    random.seed(1)
    outside = random.getstate()
    alone = [Stage(Counts, 4).scene("0", ["dice"] * n).text for n in (1, 2)]
    together, other = Stage(Counts, 4), Stage(Counts, 4)
    first = together.scene("0", ["dice"]).text
    other.scene("1", ["dice"] * 3)
    assert [first, together.scene("0", ["dice", "dice"]).text] == alone
    assert random.getstate() == outside


@pytest.mark.parametrize("markov", [True, False])
def test_what_was_shown_is_not_played_again(markov):
    asked = []

    def play(game, commands):
        asked.append(tuple(commands))
        return Stage(Counts, 4).scene(game, commands)

    game = Game("0", play, markov)
    first = walk(game, "add", "look", "add")
    count = len(asked)
    assert walk(game, "add", "look", "add") is first
    assert len(asked) == count == 4
    # "look" changes nothing: only a state's key tells that "add" after it was seen before.
    assert walk(game, "look", "add").scene.key == "1"
    assert len(asked) - count == (1 if markov else 2)


def test_a_full_memory_begins_anew(monkeypatch):
    monkeypatch.setattr("envs.engines.game.MEMORY_LIMIT", 3)
    game = Game("0", lambda game, commands: Stage(Counts, 4).scene(game, commands), True)
    for _ in range(3):
        assert walk(game, *["add"] * 6).scene.key == "6"


def test_an_error_is_the_games_and_leaves_the_process(worker):
    pid = worker.scene("0", ["pid"]).text
    with pytest.raises(EngineFailed, match=r"^ValueError: a bad command$"):
        worker.scene("0", ["add", "raise"])
    assert worker.scene("0", ["pid"]).text == pid
    assert worker.scene("0", ["add"]).key == "1"


def test_a_process_that_dies_costs_its_episode_and_positions_are_replayed(worker):
    worker.scene("0", ["add"])
    with pytest.raises(EngineFailed, match="its process ended with 3: the last words"):
        worker.scene("0", ["add", "die"])
    assert worker.scene("0", ["add", "add"]).key == "2"
    os.kill(int(worker.scene("0", ["pid"]).text), signal.SIGKILL)
    with pytest.raises(EngineFailed, match="was ended by SIGKILL"):
        worker.scene("0", ["add"])
    assert worker.scene("0", ["add", "add", "add"]).metrics == {"turns": 3}


def test_a_game_that_hangs_is_late(worker):
    worker.scene("0", [])  # so that the start of the process is not part of the wait
    worker._limits = replace(LIMITS, seconds=1)
    crash = answer(lambda: worker.scene("0", ["hang"]))
    assert crash.late
    assert "env.answer_seconds=1" in crash.reason
    worker._limits = LIMITS
    assert worker.scene("0", ["add"]).key == "1"


def test_memory_has_a_limit(worker):
    with pytest.raises(EngineFailed, match="MemoryError"):
        worker.scene("0", ["hoard"])


def test_a_game_stays_on_this_machine(worker):
    with pytest.raises(
        EngineFailed, match=r"PermissionError: a game wanted to connect to \('192\.0\.2\.1', 9\)"
    ):
        worker.scene("0", ["connect 192.0.2.1"])
    with pytest.raises(EngineFailed, match="ConnectionRefusedError"):
        worker.scene("0", ["connect 127.0.0.1"])


def test_processes_end_with_those_who_hold_them():
    workers = Workers(ENGINE, LIMITS)
    pids = {int(workers.scene(str(game), ["pid"]).text) for game in range(3)}
    assert len(pids) == 2
    del workers
    gc.collect()
    # Nothing is left but what the next start of a process clears away.
    ending = {process.pid: process for process in ENDED}
    assert all(ending[pid].wait(60) == -signal.SIGKILL for pid in pids)
    workers = Workers(ENGINE, LIMITS)
    workers.scene("0", [])
    assert not pids & {process.pid for process in ENDED}


def test_an_interrupt_is_not_lost_in_a_finalizer(monkeypatch):
    """Python swallows what is raised there, so nothing waits there."""
    workers, swallowed = Workers(ENGINE, LIMITS), []
    workers.scene("0", [])

    def interrupted(self, timeout=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    monkeypatch.setattr(sys, "unraisablehook", swallowed.append)
    del workers
    gc.collect()
    assert swallowed == []
