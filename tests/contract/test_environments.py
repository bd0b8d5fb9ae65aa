"""What every environment must do.

With `--environment NAME`, that of `env=NAME` alone, as `sweeps/env/NAME.yaml` has it.
"""

import math
import os
import random
import subprocess
import sys
from dataclasses import replace

import pytest

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
from envs.engines import EngineSpec, Game
from envs.household import HouseholdSpec
from envs.scienceworld import ScienceWorldSpec
from envs.textworld import TextWorldSpec
from envs.textworld_express import TextWorldExpressSpec
from envs.vault import VaultSpec
from harness.compose import compose_run
from harness.errors import UserError

SPECS = [
    VaultSpec(train_tasks=3, eval_tasks=3),
    VaultSpec(train_tasks=2, eval_tasks=2, slip=0.3, hidden_exits=True, distractors=2),
    HouseholdSpec(train_tasks=3, eval_tasks=3),
    TextWorldSpec(train_tasks=2, eval_tasks=2),
    ScienceWorldSpec(train_tasks=2, eval_tasks=2, horizon=5),
    TextWorldExpressSpec(train_tasks=2, eval_tasks=2),
]
# A model that reads prose and names actions freely can play every environment.
ANY_WORDS = ["model=smollm2_135m", "model.answer=open"]
HELD: dict[str, Game] = {}
"""Worker processes last as long as somebody holds one of their games, and some take seconds to start."""
NONSENSE = "open the pod bay doors"
HASH = (
    "import sys; from harness.compose import compose_run; print(compose_run(sys.argv[1:]).env.panel_hash())"
)


def pytest_generate_tests(metafunc) -> None:
    if "spec" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--environment")
        specs = [small(compose_run([f"env={chosen}", *ANY_WORDS]).env)] if chosen else SPECS
        metafunc.parametrize("spec", specs, ids=lambda spec: spec.name)


def small(spec: EnvironmentSpec) -> EnvironmentSpec:
    return replace(spec, train_tasks=2, eval_tasks=2)


@pytest.fixture(autouse=True)
def is_here(spec) -> None:
    if isinstance(spec, EngineSpec):
        HELD.setdefault(spec.name, spec.game(""))
    spec.check()


def said(spec: EnvironmentSpec, info, draw: random.Random) -> str:
    """A random valid action, or random words where actions are free text."""
    if spec.lists_actions:
        return draw.choice(info.admissible)
    words = spec.vocabulary() if isinstance(spec, ClosedVocabulary) else NONSENSE.split()
    return " ".join(draw.choices(words, k=min(3, spec.max_action_tokens - 1)))


def play(spec: EnvironmentSpec, index: int, seed: int, bad: bool = False) -> list[tuple]:
    """An episode of random play as plain data; `bad` mixes in an invalid action."""
    env, draw = spec.make(), random.Random(seed)
    observation, info = env.reset(spec.training_panel()[index], seed)
    trace: list[tuple] = [(observation, info)]
    over = False
    while not over:
        action = NONSENSE if bad and len(trace) == 2 else said(spec, info, draw)
        transition = env.step(action)
        trace.append((action, *transition))
        info, over = transition.info, transition.terminated or transition.truncated
    env.close()
    return trace


def transitions(spec: EnvironmentSpec) -> list[list[Transition]]:
    """The transitions of some random episodes."""
    return [[Transition(*each[1:]) for each in play(spec, seed % 2, seed)[1:]] for seed in range(3)]


def test_episodes_are_functions_of_task_seed_and_actions(spec):
    if not spec.repeatable:
        pytest.skip(f"{spec.name} is declared not to be repeatable")
    assert play(spec, 0, 3) == play(spec, 0, 3)
    tasks = spec.training_panel()
    assert (tasks[0].goal, play(spec, 0, 3)[0]) != (tasks[1].goal, play(spec, 1, 3)[0])


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
    for index in range(2):
        trace = play(spec, index, index)
        infos = [trace[0][1], *(each[-1] for each in trace[1:-1])]
        assert all(bool(info.admissible) == spec.lists_actions for info in infos)
        if spec.lists_actions:
            assert all(each[-1].valid for each in trace[1:]), "an admissible action that is refused"
            actions = [action for info in infos for action in info.admissible]
            assert spec.verbatim or all(action == normalise(action) for action in actions)


def test_an_invalid_action_costs_a_step_and_changes_nothing(spec):
    if not spec.lists_actions:
        pytest.skip(f"{spec.name} takes free text")
    trace = play(spec, 0, 1, bad=True)
    (before, after) = trace[1][-1], trace[2][-1]
    assert not after.valid
    assert after.state_key == before.state_key
    assert after.admissible == before.admissible


def test_copies_are_independent(spec):
    env, draw = spec.make(), random.Random(0)
    task = spec.training_panel()[0]
    _, info = env.reset(task, 0)
    first = said(spec, info, draw)
    twin = env.copy()
    if twin is None:
        pytest.skip(f"{spec.name} is restored by replay")
    plain = [env.step(first)]
    assert [twin.step(first)] == plain
    assert twin.state_key == env.state_key


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


def test_a_panel_has_the_same_hash_in_every_process(spec):
    overrides = [f"env={spec.name}", *ANY_WORDS, "env.train_tasks=2", "env.eval_tasks=2"]
    mine = compose_run(overrides).env.panel_hash()
    command = [sys.executable, "-c", HASH, *overrides]
    hashes = [
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert hashes == [mine, mine]
