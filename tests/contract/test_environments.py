"""What every environment must do. An outsider adds a spec to SPECS and runs this file."""

import random

import pytest

from envs.base import EnvironmentSpec
from envs.household import HouseholdSpec
from envs.textworld import TextWorldSpec
from envs.vault import VaultSpec

SPECS = [
    VaultSpec(train_tasks=3, eval_tasks=3),
    VaultSpec(train_tasks=2, eval_tasks=2, slip=0.3, hidden_exits=True, distractors=2),
    HouseholdSpec(train_tasks=3, eval_tasks=3),
    TextWorldSpec(train_tasks=2, eval_tasks=2),
]


@pytest.fixture(params=SPECS, ids=lambda spec: spec.name)
def spec(request) -> EnvironmentSpec:
    request.param.check()
    return request.param


def play(spec: EnvironmentSpec, index: int, seed: int, bad: bool = False) -> list[tuple]:
    """An episode of random play as plain data; `bad` mixes in an invalid action."""
    env, draw = spec.make(), random.Random(seed)
    observation, info = env.reset(spec.training_panel()[index], seed)
    trace: list[tuple] = [(observation, info)]
    over = False
    while not over:
        action = "open the pod bay doors" if bad and len(trace) == 2 else draw.choice(info.admissible)
        transition = env.step(action)
        trace.append((action, *transition))
        info, over = transition.info, transition.terminated or transition.truncated
    env.close()
    return trace


def test_episodes_are_functions_of_task_seed_and_actions(spec):
    assert play(spec, 0, 3) == play(spec, 0, 3)
    assert play(spec, 0, 3)[0] != play(spec, 1, 3)[0]


def test_horizon_and_rewards(spec):
    for seed in range(3):
        trace = play(spec, seed % 2, seed)[1:]
        assert len(trace) <= spec.horizon
        *before, (_, _, reward, terminated, truncated, info) = trace
        assert terminated != truncated
        assert reward == float(info.success) == float(terminated)
        assert not any(t[3] or t[4] for t in before)
        assert all(t[5].valid for t in trace)


def test_an_invalid_action_costs_a_step_and_changes_nothing(spec):
    trace = play(spec, 0, 1, bad=True)
    (before, after) = trace[1][-1], trace[2][-1]
    assert not after.valid
    assert after.state_key == before.state_key
    assert after.admissible == before.admissible


def test_copies_are_independent(spec):
    env = spec.make()
    task = spec.training_panel()[0]
    _, info = env.reset(task, 0)
    env.step(info.admissible[0])
    twin = env.copy()
    if twin is None:
        pytest.skip(f"{spec.name} is restored by replay")
    plain = [env.step(action) for action in ("nonsense", info.admissible[0])]
    assert [twin.step(action) for action in ("nonsense", info.admissible[0])] == plain


def test_a_used_environment_can_be_reset(spec):
    env = spec.make()
    tasks = spec.training_panel()
    first = env.reset(tasks[0], 5)
    env.step(first[1].admissible[0])
    env.reset(tasks[1], 5)
    assert env.reset(tasks[0], 5) == first
    env.close()


def test_panels(spec):
    assert spec.evaluation_panel() == spec.training_panel()[: spec.eval_tasks]
    assert len({task.id for task in spec.training_panel()}) == spec.train_tasks
    words = spec.vocabulary()
    assert len(set(words)) == len(words)
    assert spec.panel_hash() == spec.panel_hash()
