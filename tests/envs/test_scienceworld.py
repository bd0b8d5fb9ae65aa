"""ScienceWorld on its own Java program: gold paths, repeatability, failures, splits, and what is refused."""

import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from envs.base import Split, TaskSet
from envs.scienceworld import ScienceWorldSpec
from envs.scienceworld.tasks import BY_NUMBER, VARIATIONS, split
from harness.errors import UserError

ONE = ScienceWorldSpec(train_tasks=1, eval_tasks=1)
WALK = (
    "go to kitchen",
    "teleport to art studio",
    "pick up wood cup",
    "0",
    "look around",
    "wait1",
    "open cupboard",
)


@pytest.fixture(scope="module", autouse=True)
def process():
    """One worker process for this module."""
    pytest.importorskip("scienceworld")
    return ONE.game("")


@pytest.fixture(scope="module")
def package():
    """The package's own wrapper."""
    scienceworld = pytest.importorskip("scienceworld")
    made = scienceworld.ScienceWorldEnv()
    yield made
    made.close()


def scenes(spec: ScienceWorldSpec, *actions: str) -> list:
    env = spec.make()
    observation, info = env.reset(spec.training_panel()[0])
    shown = [(observation, info.state_key, info.score)]
    for action in actions:
        step = env.step(action)
        shown.append((step.observation, step.info.state_key, step.info.score))
        if step.terminated:
            break
    return shown


@pytest.mark.parametrize("name", ["find-non-living-thing", "identify-life-stages-2"])
def test_gold_paths_are_won(package, name):
    spec = replace(ONE, task_names=(name,), horizon=100)
    package.load(name, 0, "easy", generateGoldPath=True)
    env = spec.make()
    _, info = env.reset(spec.training_panel()[0])
    total = info.score
    for action in package.get_gold_action_sequence():
        step = env.step(action)
        total += step.reward
        if step.terminated:
            break
    assert step.info.success
    assert step.info.score == pytest.approx(total) == 1


def test_the_same_commands_show_the_same_scenes_whatever_else_is_played():
    """Games that share a Java machine leave each other alone, and another process shows the same."""
    spec = replace(ONE, task_names=("chemistry-mix-paint-secondary-color",))
    script = (
        "import json, sys; from envs.scienceworld import *; from tests.envs.test_scienceworld import *;"
        f"spec = replace(ONE, task_names={spec.task_names}); print(json.dumps(scenes(spec, *WALK)))"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    disturber = replace(ONE, task_names=("find-animal",), simplifications="").make()
    task = replace(ONE, task_names=("find-animal",), simplifications="").training_panel()[0]
    disturber.reset(task)
    env = spec.make()
    observation, info = env.reset(spec.training_panel()[0])
    mixed = [(observation, info.state_key, info.score)]
    for action in WALK:
        disturber.step("open door to kitchen")
        step = env.step(action)
        mixed.append((step.observation, step.info.state_key, step.info.score))
        disturber.step("go to kitchen")
    there = json.loads(other.communicate()[0])
    assert [list(scene) for scene in mixed] == there
    del env
    assert scenes(spec, *WALK) == mixed


def test_a_failure_is_worth_nothing_and_a_reset_does_not_take_it_back():
    spec = replace(ONE, task_names=("find-animal",))
    env = spec.make()
    _, info = env.reset(spec.training_panel()[0])
    assert info.score > 0, "what an open door is worth at the start"
    for command in ("reset task", "Reset  Task", "reset"):
        step = env.step(command)
        assert not step.info.valid
        assert step.info.state_key == info.state_key
    step = env.step("focus on agent")
    assert step.terminated
    assert not step.info.success
    assert step.info.score == 0
    assert step.reward == -info.score


def test_what_is_not_understood_is_invalid_and_a_question_is_answered_by_number():
    env = ONE.make()
    env.reset(ONE.training_panel()[0])
    assert not env.step("open the pod bay doors").info.valid
    env.step("teleport to art studio")
    asked = env.step("pick up cup")
    assert asked.info.valid
    assert asked.observation.startswith("Ambiguous request")
    assert env.step("1").observation.startswith("You move the")


def test_tasks_and_splits_are_the_packages(package):
    assert {name: package.get_max_variations(name) for name in package.get_task_names()} == VARIATIONS
    assert dict(package.tasks) == BY_NUMBER
    for name in ("identify-life-stages-2", "boil"):
        package.load(name, 0, "")
        ours = [list(split(name)[part]) for part in ("train", "dev", "test")]
        theirs = [package.get_variations_train(), package.get_variations_dev(), package.get_variations_test()]
        assert ours == theirs


def test_panels_take_tasks_in_turns_and_streams_are_the_splits():
    spec = replace(ONE, task_names=("1-1", "find-plant"), train_tasks=4, eval_tasks=2)
    assert [task.id for task in spec.stream("train")[:4]] == [
        "boil-0",
        "find-plant-0",
        "boil-1",
        "find-plant-1",
    ]
    assert [task.id for task in spec.stream("eval")[:2]] == ["boil-21", "find-plant-225"]
    assert [task.id for task in spec.stream("tuning-train")[:3:2]] == ["boil-14", "boil-16"]
    ids = [
        task.id for stream in ("train", "eval", "tuning-train", "tuning-eval") for task in spec.stream(stream)
    ]
    assert len(ids) == len(set(ids)) == 30 + 300


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task_names": ("alchemy",)}, "ScienceWorld has no task 'alchemy'; there are 1-1 boil, "),
        ({"task_names": ()}, "env.task_names is empty"),
        ({"task_names": ("1-1", "boil")}, "names a task twice"),
        ({"simplifications": "easier"}, "ScienceWorld has no 'easier'; join with commas any of easy, "),
        ({"simplifications": "easy,openDoors"}, "'easy' stands for several others"),
        (
            {"task_names": ("3-1",), "simplifications": "noElectricalAction"},
            "power-component can't be done with noElectricalAction",
        ),
    ],
)
def test_bad_dials_are_refused(options, message):
    with pytest.raises(UserError, match=message) as caught:
        ScienceWorldSpec(**options)
    assert "\n" not in str(caught.value)


def test_a_panel_larger_than_the_variations_is_refused():
    spec = replace(ONE, task_names=("1-1",), train_tasks=15)
    with pytest.raises(UserError, match=r"15 tasks are asked for of 14 .* for train: lower env.train_tasks"):
        spec.training_panel()


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scienceworld", None)
    with pytest.raises(UserError, match=r"pip install 'creditbench\[scienceworld\]'"):
        ONE.check()


def test_the_yaml_holds_the_defaults():
    path = Path(__file__).parents[2] / "sweeps" / "env" / "scienceworld.yaml"
    env = OmegaConf.to_container(OmegaConf.load(path).env)
    assert env.pop("_target_") == "envs.scienceworld.ScienceWorldSpec"
    assert list(env) == [field.name for field in fields(ScienceWorldSpec)]
    named = {
        "split": Split(env["split"]),
        "tasks": TaskSet(env["tasks"]),
        "task_names": tuple(env["task_names"]),
    }
    assert ScienceWorldSpec(**{**env, **named}) == ScienceWorldSpec()
