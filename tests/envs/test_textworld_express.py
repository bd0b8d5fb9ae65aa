"""TextWorldExpress on its own Java program: wins, scores, folds, words, and what is refused."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from envs.base import Split, TaskSet, normalise
from envs.engines.java import check_java
from envs.engines.worker import EngineFailed
from envs.textworld_express import RETOLD, WORLDS, TextWorldExpressSpec
from harness.errors import UserError

SMALL = {"train_tasks": 2, "eval_tasks": 2}
COIN = TextWorldExpressSpec(**SMALL)


@pytest.fixture(scope="module", autouse=True)
def process():
    """One worker process for this module."""
    pytest.importorskip("textworld_express")
    return COIN.game("")


def shortest(spec: TextWorldExpressSpec, index: int) -> list[str]:
    """A shortest way to win, by trying everything."""
    game = spec.game(spec.game_name(spec.training_panel()[index]))
    ahead, known = [game.start()], set()
    for place in ahead:
        for command in place.scene.commands:
            after = game.follow(place, command)
            if after.scene.won:
                return list(after.history)
            if not after.scene.over and after.scene.key not in known:
                known.add(after.scene.key)
                ahead.append(after)
    raise AssertionError("no way to win")


def world(name: str, parameters: str = "") -> TextWorldExpressSpec:
    return TextWorldExpressSpec(world=name, parameters=parameters, horizon=60, max_action_tokens=16, **SMALL)


@pytest.mark.parametrize("index", range(2))
def test_coins_are_found(index):
    env = COIN.make()
    env.reset(COIN.training_panel()[index])
    way = shortest(COIN, index)
    steps = [env.step(action) for action in way]
    assert way[-1] == "take coin"
    assert [step.reward for step in steps] == [0.0] * (len(way) - 1) + [1.0]
    assert steps[-1].terminated
    assert steps[-1].info.success
    assert steps[-1].info.score == 1


def test_gold_paths_are_won_in_every_world():
    """The package's own solutions. They are drawn anew with every game, and may be longer than needed."""
    from textworld_express import TextWorldExpressEnv

    package = TextWorldExpressEnv()
    for name in WORLDS:
        spec = world(name)
        task = spec.training_panel()[1]
        package.reset(seed=task.seed, gameFold="train", gameName=name, gameParams="", generateGoldPath=True)
        env = replace(spec, horizon=200).make()
        env.reset(task)
        total = 0.0
        for command in package.getGoldActionSequence():
            if command in RETOLD:
                continue
            step = env.step(normalise(command))
            total += step.reward
            if step.terminated:
                break
        assert step.info.success, name
        assert total == pytest.approx(1), name
    package.close()


def test_a_failure_is_worth_nothing_and_ends_the_game():
    spec = world("arithmetic")
    draw, env, ends = random.Random(0), spec.make(), []
    for _ in range(12):
        _, info = env.reset(spec.training_panel()[0])
        total, best, over = 0.0, 0.0, False
        while not over:
            step = env.step(draw.choice(info.admissible))
            info, over = step.info, step.terminated or step.truncated
            total, best = total + step.reward, max(best, info.score)
        assert total == pytest.approx(info.score)
        ends.append((step.terminated and not info.success, info.score, best))
    failures = [(score, best) for failed, score, best in ends if failed]
    assert failures
    assert all(score == 0 for score, _ in failures)
    assert any(best > 0 for _, best in failures), "a failure that takes back what was reached"


def test_folds_have_seeds_of_their_own():
    unseen = replace(COIN, split=Split.unseen)
    assert [task.seed for task in unseen.training_panel()] == [0, 1]
    assert [task.seed for task in unseen.evaluation_panel()] == [20000, 20001]
    tuning = replace(unseen, tasks=TaskSet.tuning)
    assert [task.id for task in tuning.training_panel()] == ["coin-dev-10000", "coin-dev-10001"]
    assert [task.seed for task in tuning.evaluation_panel()] == [10500, 10501]


def test_all_words_are_known():
    spec = replace(COIN, train_tasks=4)
    words = set(spec.vocabulary())
    env, draw = spec.make(), random.Random(3)
    for task in spec.training_panel() * 3:
        observation, info = env.reset(task)
        over = False
        while not over:
            action = draw.choice(info.admissible)
            assert set(f"{observation} {action}".split()) <= words
            observation, _, terminated, truncated, info = env.step(action)
            over = terminated or truncated


def test_worlds_of_too_many_scenes_have_no_list_of_words(monkeypatch):
    monkeypatch.setattr("envs.textworld_express.words.MOST_SCENES", 3)
    with pytest.raises(UserError, match="over 3 scenes: take a smaller"):
        replace(COIN, eval_tasks=1).vocabulary()


def test_actions_are_sorted_and_retold_ones_are_left_out():
    _, info = COIN.make().reset(COIN.training_panel()[0])
    assert list(info.admissible) == sorted(info.admissible)
    assert "inventory" not in info.admissible


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world": "chess"}, "env.world=chess is no game of this package: one of coin, "),
        ({"parameters": "numLocations=abc"}, "must be NAME=NUMBER,NAME=NUMBER"),
        ({"memory_gb": 0.1}, "env.memory_gb=0.1 must be at least 0.5"),
    ],
)
def test_bad_dials_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        TextWorldExpressSpec(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parameters": "rooms=3"}, r"env.parameters=rooms=3: Unrecognized property name \(rooms\)"),
        (
            {"parameters": "numLocations=99"},
            "env.parameters=numLocations=99: Number of locations must be less",
        ),
        ({"train_tasks": 1001}, "1001 tasks are asked for of 1000 .* for train: lower env.train_tasks"),
    ],
)
def test_what_the_package_does_not_take_is_refused_before_a_run(options, message):
    with pytest.raises(UserError, match=message) as caught:
        replace(COIN, **options).check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "needs Java 8 or newer, and no `java` is found: install one"),
        ("echo 'java version \"1.7.0_80\"' >&2", r'java is version "1.7.0_80": install one'),
        ("echo broken", "java -version` tells none: install one"),
    ],
)
def test_java_that_is_missing_or_too_old_is_named(script, message, tmp_path, monkeypatch):
    if script:
        (tmp_path / "java").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "java").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=message):
        check_java("env=textworld_express")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "textworld_express", None)
    with pytest.raises(UserError, match=r"pip install 'creditbench\[textworld_express\]'"):
        COIN.check()


def test_another_version_is_refused(monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda project: "1.0.5")
    with pytest.raises(UserError, match=r"made for textworld-express 1\.1\.0, and 1\.0\.5 is installed"):
        COIN.check()


def javas(group: int) -> list[int]:
    """The Java processes of a process group."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition(") ")
        except OSError:
            continue
        if name.endswith("(java") and int(rest.split()[2]) == group:
            found.append(int(status.parent.name))
    return found


def gone(pids: list[int]) -> bool:
    """Whether the processes end in time."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return True
        time.sleep(0.1)
    return False


def test_a_java_machine_that_dies_costs_one_answer():
    spec = replace(COIN, memory_gb=0.75)  # processes of its own
    game = spec.game(spec.game_name(spec.training_panel()[0]))
    place = game.start()
    workers = game._play.__self__  # type: ignore[attr-defined]  # a bound method
    (java,) = javas(workers._workers[0]._process.pid)
    os.kill(java, signal.SIGKILL)
    with pytest.raises(EngineFailed, match="the Java machine has ended: if it ran out"):
        game.follow(place, place.scene.commands[0])
    assert game.follow(place, place.scene.commands[0]).history == place.scene.commands[:1]
    (java,) = javas(workers._workers[0]._process.pid)
    del game, workers
    assert gone([java])


def test_no_java_machine_outlives_a_killed_parent():
    script = (
        "import sys; from envs.textworld_express import TextWorldExpressSpec; spec = TextWorldExpressSpec();"
        "game = spec.game(spec.game_name(spec.stream('train')[0])); game.start();"
        "print(game._play.__self__._workers[0]._process.pid, flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    parent = subprocess.Popen([sys.executable, "-c", script], text=True, **pipes)
    worker = int(parent.stdout.readline())
    pids = [worker, *javas(worker)]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    assert gone(pids)


def test_the_yaml_holds_the_defaults():
    path = Path(__file__).parents[2] / "sweeps" / "env" / "textworld_express.yaml"
    env = OmegaConf.to_container(OmegaConf.load(path).env)
    assert env.pop("_target_") == "envs.textworld_express.TextWorldExpressSpec"
    assert list(env) == [field.name for field in fields(TextWorldExpressSpec)]
    named = {"split": Split(env["split"]), "tasks": TaskSet(env["tasks"])}
    assert TextWorldExpressSpec(**{**env, **named}) == TextWorldExpressSpec()
