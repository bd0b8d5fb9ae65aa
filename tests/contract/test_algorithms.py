"""What every algorithm must do. An outsider's algorithm is picked up from its YAML."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from algorithms.base import Algorithm
from harness.config.compose import CONFIG_DIR, compose_run, group_options, to_plain
from harness.records import Batch
from tests.conftest import make_batch

NAMES = group_options("algorithm")


@cache
def algorithm(name: str) -> Algorithm:
    return compose_run([f"algorithm={name}"]).algorithm


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """One or two groups, roots first, then (perhaps) continuations; ragged, with shared states."""
    shapes = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=5)
    tokens = draw(shapes)
    count = len(tokens)
    rewards = [[0.0] * (len(t) - 1) + [float(draw(st.booleans()))] for t in tokens]
    states = [[draw(st.sampled_from("abc")) for _ in t] for t in tokens]
    groups = sorted(draw(st.integers(0, 1)) for _ in range(count))
    total = sum(map(sum, tokens))
    noise = np.random.default_rng(draw(st.integers(0, 999)))
    roots = np.array([draw(st.booleans()) for _ in range(count)])
    roots[0] = True
    return make_batch(
        rewards,
        tokens,
        states,
        groups,
        root_N=roots,
        entropy_T=noise.uniform(0, 2, total),
        logprob_T=-noise.uniform(0, 2, total),
        current_logprob_T=-noise.uniform(0, 2, total),
        value_T=noise.normal(0, 1, total),
    )


def permuted(batch: Batch, order: np.ndarray) -> tuple[Batch, np.ndarray]:
    """The batch with its trajectories in another order, and where each token went."""
    steps = np.concatenate([np.flatnonzero(batch.trajectory_S == n) for n in order])
    tokens = np.concatenate([np.flatnonzero(batch.step_T == s) for s in steps])
    pick = {"N": order, "S": steps, "T": tokens}
    columns = {
        name: None if value is None else value[pick[name[-1]]]
        for name, value in ((f, getattr(batch, f)) for f in batch.__dataclass_fields__)
    }
    return Batch(**columns), tokens


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(batch=batches(), seed=st.integers(0, 99))
def test_credit_is_finite_whole_and_blind_to_order(name, batch, seed):
    credit = algorithm(name).credit(batch)
    assert credit.advantage_T.shape == batch.logprob_T.shape
    assert np.isfinite(credit.advantage_T).all()
    assert all(np.isfinite(value) for value in credit.diagnostics.values())
    order = np.random.default_rng(seed).permutation(len(batch.steps_N))
    shuffled, tokens = permuted(batch, order)
    again = algorithm(name).credit(shuffled)
    np.testing.assert_allclose(again.advantage_T, credit.advantage_T[tokens], atol=1e-9)
    if credit.trained_N is not None:
        untrained = ~credit.trained_N[batch.trajectory_S][batch.step_T]
        assert (credit.advantage_T[untrained] == 0).all()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=20, deadline=None)
@given(batch=batches())
def test_critics_get_targets_and_others_do_not(name, batch):
    chosen = algorithm(name)
    credit = chosen.credit(batch)
    assert (credit.return_T is not None) == (credit.critic_T is not None) == chosen.has_critic


@pytest.mark.parametrize("name", NAMES)
def test_credit_does_not_change_its_input(name):
    batch = make_batch([[0, 1.0], [0.0], [0, 0.0]], value_T=np.ones(5), current_logprob_T=np.zeros(5))
    before = {
        f: None if getattr(batch, f) is None else getattr(batch, f).copy() for f in batch.__dataclass_fields__
    }
    algorithm(name).credit(batch)
    for field, value in before.items():
        np.testing.assert_array_equal(getattr(batch, field), value)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_differences_gives_no_group_credit(name):
    chosen = algorithm(name)
    if chosen.has_critic:
        pytest.skip("a critic's credit compares with values, not within a group")
    batch = make_batch([[1.0], [1.0], [1.0]], states=[["a"], ["a"], ["a"]], current_logprob_T=np.zeros(3))
    np.testing.assert_allclose(chosen.credit(batch).advantage_T, 0, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_yaml_is_the_dataclass_defaults(name):
    yaml = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "algorithm" / f"{name}.yaml"))
    config = compose_run([f"algorithm={name}"])
    assert yaml == to_plain(replace(config, algorithm=type(config.algorithm)()))["algorithm"]
    assert config.algorithm.name == name


@pytest.mark.parametrize("name", NAMES)
def test_branch_plans_select_what_they_plan(name):
    chosen = algorithm(name)
    plan = chosen.plan()
    assert plan.trajectories == chosen.rollouts
    if not plan.branches:
        return
    rewards = [[0, 0, 1.0]] * plan.roots
    batch = make_batch(rewards, [[2, 2, 2]] * plan.roots, current_logprob_T=np.zeros(6 * plan.roots))
    points = chosen.select_branches(batch)
    assert len(points) == plan.branches
    assert all(0 <= p.step < 3 and 0 <= p.token < 2 and p.trajectory < plan.roots for p in points)
