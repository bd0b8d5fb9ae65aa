"""What every environment must do.

With `--environment NAME`, that of `env=NAME` alone, as `sweeps/env/NAME.yaml` has it.
"""

import math
import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from functools import cache
from itertools import cycle

import numpy as np
import pytest

from envs.alfworld import AlfworldSpec
from envs.base import (
    STREAMS,
    ClosedVocabulary,
    EnvironmentSpec,
    Rewards,
    Split,
    TaskSet,
    Transition,
    normalise,
)
from envs.fork import ForkSpec
from envs.frozenlake import FrozenLakeSpec
from envs.household import HouseholdSpec
from envs.scienceworld import ScienceWorldSpec
from envs.sokoban import SokobanSpec
from envs.textworld import TextWorldSpec
from envs.textworld_express import TextWorldExpressSpec
from envs.vault import VaultSpec
from envs.webshop import Observed, WebShopSpec
from harness.compose import compose_run
from harness.errors import UserError
from tests.contract.episodes import NONSENSE, Episode, after, fingerprints, play, said
from tests.pages import ROOT

SPECS = [
    VaultSpec(train_tasks=3, eval_tasks=3),
    VaultSpec(train_tasks=2, eval_tasks=2, slip=0.3, hidden_exits=True, distractors=2),
    VaultSpec(train_tasks=2, eval_tasks=2, thought=8),
    HouseholdSpec(train_tasks=3, eval_tasks=3),
    TextWorldSpec(train_tasks=2, eval_tasks=2),
    SokobanSpec(train_tasks=3, eval_tasks=3),
    SokobanSpec(train_tasks=2, eval_tasks=2, boxes=2, rewards=Rewards.dense),
    FrozenLakeSpec(train_tasks=3, eval_tasks=3),
    FrozenLakeSpec(train_tasks=2, eval_tasks=2, slippery=True, corners=False),
    ForkSpec(train_tasks=3, eval_tasks=3),
    ForkSpec(train_tasks=2, eval_tasks=2, slip=0.3, recoverable=True, shows_past=True),
    WebShopSpec(train_tasks=3, eval_tasks=3),
    WebShopSpec(train_tasks=2, eval_tasks=2, published_faults=True, observed=Observed.text_rich),
    ScienceWorldSpec(train_tasks=2, eval_tasks=2, horizon=5),
    TextWorldExpressSpec(train_tasks=2, eval_tasks=2),
    AlfworldSpec(train_tasks=2, eval_tasks=2, horizon=20),
]
# A model that reads prose and names actions freely can play every environment.
ANY_WORDS = ["model=smollm2_135m", "model.answer=open"]
TRIED = 10
"""Listed actions that are tried."""


def pytest_generate_tests(metafunc) -> None:
    if "spec" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--environment")
        specs = [small(compose_run([f"env={chosen}", *ANY_WORDS]).env)] if chosen else SPECS
        metafunc.parametrize("spec", specs, ids=lambda spec: spec.name, scope="module")


def small(spec: EnvironmentSpec) -> EnvironmentSpec:
    return replace(spec, train_tasks=2, eval_tasks=2)


@pytest.fixture(autouse=True, scope="module")
def at_work(spec):
    """It can run here, and is at work on another task: processes of games end with the last environment."""
    spec.check()
    other = spec.make()
    other.reset(spec.training_panel()[1])
    yield
    other.close()


@cache
def episodes(spec: EnvironmentSpec) -> list[list[tuple]]:
    """Some random episodes."""
    return [play(spec, seed % 2, seed) for seed in range(3)]


def transitions(spec: EnvironmentSpec) -> list[list[Transition]]:
    """Their transitions."""
    return [[Transition(*each[1:]) for each in trace[1:]] for trace in episodes(spec)]


def test_episodes_are_functions_of_task_seed_and_actions(spec):
    if not spec.repeatable:
        pytest.skip(f"{spec.name} is declared not to be repeatable")
    assert play(spec, 0, 0) == episodes(spec)[0]
    tasks = spec.training_panel()
    assert (tasks[0].goal, episodes(spec)[0][0]) != (tasks[1].goal, episodes(spec)[1][0])


def test_episodes_may_be_interleaved(spec):
    """Two at once, of two tasks, are what they are alone, and the process's dice are left alone."""
    if not spec.repeatable:
        pytest.skip(f"{spec.name} is declared not to be repeatable")
    dice = random.getstate(), np.random.get_state()[1].tolist()
    both = [Episode(spec, seed % 2, seed) for seed in range(2)]
    while not all(episode.over for episode in both):
        for episode in both:
            if not episode.over:
                episode.step()
    assert [episode.trace for episode in both] == episodes(spec)[:2]
    assert dice == (random.getstate(), np.random.get_state()[1].tolist())


def test_episodes_end_once_and_in_time(spec):
    for steps in transitions(spec):
        assert len(steps) <= spec.horizon
        assert steps[-1].terminated != steps[-1].truncated
        assert not any(step.terminated or step.truncated for step in steps[:-1])


def test_success_and_score_are_what_is_declared(spec):
    for steps in transitions(spec):
        for step in steps:
            assert 0 <= step.info.score_or_success <= 1
            assert spec.graded or step.info.score is None, "a score, but graded is not declared"
            assert all(math.isfinite(value) for value in step.info.metrics.values())
        assert not any(step.info.success for step in steps[:-1]), "a success that does not end the episode"
        if spec.graded:
            assert steps[-1].info.score is not None
            assert not steps[-1].info.success or steps[-1].info.score == max(s.info.score or 0 for s in steps)


def test_rewards_are_what_is_declared(spec):
    least, most = spec.reward_range
    for steps in transitions(spec):
        assert all(least <= step.reward <= most for step in steps)
        if spec.rewards is Rewards.final:
            assert not any(step.reward for step in steps[:-1])
            assert steps[-1].reward == steps[-1].info.score_or_success


def test_actions_are_what_is_declared(spec):
    for trace in episodes(spec):
        infos = [trace[0][1], *(each[-1] for each in trace[1:-1])]
        assert all(bool(info.admissible) == spec.lists_actions for info in infos)
        if spec.lists_actions:
            assert all(each[-1].valid for each in trace[1:]), "an admissible action that is refused"
            actions = [action for info in infos for action in info.admissible]
            assert spec.verbatim or all(action == normalise(action) for action in actions)


def test_listed_actions_are_accepted(spec):
    if not spec.lists_actions:
        pytest.skip(f"{spec.name} takes free text")
    env, task = spec.make(), spec.training_panel()[0]
    _, info = env.reset(task, 0)
    for action in random.Random(0).sample(info.admissible, k=min(TRIED, len(info.admissible))):
        env.reset(task, 0)
        assert env.step(action).info.valid, action
    env.close()


def test_an_invalid_action_is_answered_costs_a_step_and_changes_nothing(spec):
    if not spec.lists_actions:
        pytest.skip(f"{spec.name} takes free text")
    env, draw = spec.make(), random.Random(1)
    _, info = env.reset(spec.training_panel()[0], 1)
    before = env.step(said(spec, info, draw)).info
    wrong = [
        each for each in ("", NONSENSE, f"now {before.admissible[0]}", "0") if each not in before.admissible
    ]
    for number, action in zip(range(2, spec.horizon + 1), cycle(sorted(wrong)), strict=False):
        seen = env.step(action)
        assert not seen.info.valid, action
        assert seen.observation.strip(), f"no answer to {action!r}"
        assert not seen.terminated
        assert seen.truncated == (number == spec.horizon)
        assert (seen.info.state_key, env.state_key) == (before.state_key, before.state_key)
        assert seen.info.admissible == before.admissible
    env.close()


def test_a_restored_episode_goes_on_like_the_original(spec):
    """By copy where there are copies, else by replay of the actions so far."""
    trace, task = episodes(spec)[0], spec.training_panel()[0]
    actions, half = [each[0] for each in trace[1:]], (len(trace) - 1) // 2
    original = spec.make()
    original.reset(task, 0)
    after(original, actions[:half])
    twin = original.copy()
    if twin is None:
        if not spec.repeatable:
            pytest.skip(f"{spec.name} can't be restored")
        twin = spec.make()
        twin.reset(task, 0)
        after(twin, actions[:half])
    went_on = after(original, actions[half:])
    assert after(twin, actions[half:]) == went_on
    assert [seen for seen, _ in went_on] == [Transition(*each[1:]) for each in trace[half + 1 :]]
    assert all(key == seen.info.state_key for seen, key in went_on)
    original.close()
    twin.close()


def test_a_used_environment_can_be_reset(spec):
    env = spec.make()
    tasks = spec.training_panel()
    first = env.reset(tasks[0], 5)
    env.step(said(spec, first[1], random.Random(0)))
    env.reset(tasks[1], 5)
    assert env.reset(tasks[0], 5) == first
    env.close()


def test_panels(spec):
    assert spec.evaluation_panel() == spec.training_panel()[: spec.eval_tasks]
    assert len({task.id for task in spec.training_panel()}) == spec.train_tasks
    if isinstance(spec, ClosedVocabulary):
        words = spec.vocabulary()
        assert len(set(words)) == len(words)


def test_streams_share_no_task(spec):
    try:
        unseen = replace(spec, split=Split.unseen)
        tuning = replace(unseen, tasks=TaskSet.tuning)
        panels = [p for s in (unseen, tuning) for p in (s.training_panel(), s.evaluation_panel())]
    except UserError as error:
        pytest.skip(f"{spec.name} has too few tasks: {error}")
    ids = [task.id for panel in panels for task in panel]
    assert len(ids) == 2 * (spec.train_tasks + spec.eval_tasks)
    assert len(set(ids)) == len(ids), STREAMS


def test_a_panel_and_its_episodes_are_the_same_in_every_process(spec):
    command = [sys.executable, "-m", "tests.contract.episodes"]
    others = [
        subprocess.run(
            command,
            input=pickle.dumps(spec),
            stdout=subprocess.PIPE,
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.decode()
        for seed in ("1", "2")
    ]
    assert others == [fingerprints(spec)] * 2
