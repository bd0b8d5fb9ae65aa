"""APPO against numbers worked by hand from the paper's equations (gamma 1/2, two roots, four tokens each)."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms.appo import (
    APPO,
    APPOConstant,
    APPOFuture,
    Gain,
    Score,
    branching_score,
    dual_group_advantage,
    future_value,
    select_tokens,
    z_score,
)
from algorithms.factors import Aggregation, Equations, RatioUnit
from algorithms.shared.groups import z_scores
from harness.update.loss import clipped_loss, importance_ratio, token_weights
from tests.conftest import make_batch

UP, DOWN, ROOT2 = np.log(1.2), np.log(0.8), np.sqrt(2)
ENTROPY = np.array([[0.0, 2, 1, 1], [1, 1, 2, 0]])
DELTA = np.array([[-UP / 2, UP, -DOWN / 2, DOWN], [-DOWN / 2, DOWN - UP / 2, UP, 0]])
ALL = np.ones(4, dtype=bool)
RANDOM = np.random.default_rng(0)
"""APPO draws nothing."""


def gain(row: int, low: float = 0.8) -> np.ndarray:
    return future_value(DELTA[row], np.array([4]), 0.5, low, 1.2)


def test_future_value_and_branching_score():
    np.testing.assert_allclose(gain(0), [1, 1.2, 1, 0.8], atol=1e-12)
    np.testing.assert_allclose(gain(1), [1, 0.8, 1.2, 1], atol=1e-12)
    np.testing.assert_allclose(z_score(ENTROPY[0]), [-ROOT2, ROOT2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(z_score(gain(0)), [0, ROOT2, 0, -ROOT2], atol=1e-9)
    np.testing.assert_allclose(branching_score(gain(0), ENTROPY[0]), [0, 2, 0, 0], atol=1e-9)
    np.testing.assert_allclose(branching_score(gain(1), ENTROPY[1]), [0, 0, 2, 0], atol=1e-9)


def test_selection_takes_the_best_token_of_each_root():
    assert select_tokens(gain(0), ENTROPY[0], ALL, 1) == [1]
    assert select_tokens(gain(1), ENTROPY[1], ALL, 1) == [2]


def test_two_negatives_never_win():
    entropy = np.array([2.0, 0, 1, 1])
    assert branching_score(gain(1), entropy).argmax() == 1, "the trap: token 1 has the highest raw score"
    assert select_tokens(gain(1), entropy, ALL, 1) == [0], "filled by entropy instead"


def test_without_a_gain_the_score_is_the_entropy():
    flat = np.ones(4)
    np.testing.assert_array_equal(branching_score(flat, ENTROPY[0]), z_score(ENTROPY[0]))
    assert select_tokens(flat, ENTROPY[0], ALL, 1) == [1]


def test_end_tokens_are_never_chosen_and_short_rollouts_repeat():
    assert select_tokens(gain(0), ENTROPY[0], np.array([True, False, True, True]), 1) != [1]
    assert select_tokens(np.ones(1), np.zeros(1), np.array([True]), 3) == [0, 0, 0]


def roots_and_branches(roots, branches, **columns):
    """One task; every branch leaves the first root at its start."""
    parent = [-1] * len(roots) + [0] * len(branches)
    return make_batch([[reward] for reward in [*roots, *branches]], parent_N=np.array(parent), **columns)


def test_dual_group():
    advantage = dual_group_advantage(roots_and_branches([1, 0], [0.25, 0.75]))
    np.testing.assert_allclose(advantage[:2], [1.5, -1.5], atol=1e-12)


def test_a_group_without_spread_contributes_nothing():
    advantage = dual_group_advantage(roots_and_branches([1, 1], [1, 1]))
    np.testing.assert_array_equal(advantage, np.zeros(4))


def test_a_reward_far_from_its_reference_counts_ten_standard_deviations():
    """Roots 1 and 0 are +-1 among themselves; branches 0 and 0.0001 put them at 19,999 and -1."""
    advantage = dual_group_advantage(roots_and_branches([1, 0], [0, 0.0001]))
    np.testing.assert_allclose(advantage[:2], [(1 + 10) / 2, -1], atol=1e-9)


def test_dual_group_by_brute_force_over_many_groups():
    """Every task by itself, in any order, with tasks that have no branches or equal rewards."""
    draw = np.random.default_rng(0)
    group_N = draw.permutation(np.repeat(np.arange(12), 6))
    root_N = draw.random(72) < 0.5
    reward_N = np.where(group_N == 3, 0.1, draw.integers(0, 4, 72) / 3)
    parent_N = np.where(root_N, -1, 0)
    batch = make_batch([[r] for r in reward_N], groups=group_N.tolist(), parent_N=parent_N)
    expected = []
    for reward, group in zip(reward_N, group_N, strict=True):
        mine = group_N == group
        parts = [reward_N[mine & kind] for kind in (root_N, ~root_N) if (mine & kind).any()]
        scores = [(reward - part.mean()) / part.std() if np.ptp(part) > 0 else 0 for part in parts]
        expected.append(np.mean(scores))
    np.testing.assert_allclose(dual_group_advantage(batch), expected, atol=1e-9)


def test_equal_rewards_give_no_credit_at_any_scale():
    equal = roots_and_branches([54321.7] * 3, [54321.7] * 3, current_logprob_T=np.zeros(6))
    for algorithm in (APPO(), APPO(dual_group=False), APPO(equations=Equations.released)):
        np.testing.assert_array_equal(algorithm.credit(equal).advantage_T, 0)


def whole_batch(batch_of):
    """Both roots, then their branches; the branches' log-probabilities play no part."""
    return batch_of(
        [[0, 0, 0, 1.0], [0, 0, 0, 0.0], [0.25], [0.75]],
        parent_N=np.array([-1, -1, 0, 1]),
        branch_step_N=np.array([0, 0, 1, 2]),
        entropy_T=np.concatenate([*ENTROPY, [0, 0]]),
        current_logprob_T=np.concatenate([*DELTA, [0, 0]]),
    )


def test_credit_is_scaled_by_the_future_and_given_to_roots_only(batch_of):
    credit = APPO(rollouts=4, roots=2, half_life=1.0).credit(whole_batch(batch_of))
    np.testing.assert_allclose(
        credit.advantage_T, [2.25, 2.4, 2.25, 2.25, -2.25, -2.25, -2.4, -2.25, 0, 0], atol=1e-9
    )
    assert credit.trained_N is not None
    assert credit.trained_N.tolist() == [True, True, False, False]


def test_released_dual_group_is_prefix_local(batch_of):
    """Roots' z +-1, branches' z -1 (left root 0 at token 1) and +1 (left root 1 at token 2)."""
    released = APPO(rollouts=4, roots=2, half_life=1.0, equations=Equations.released, future_weight=1.0)
    batch = whole_batch(batch_of)
    base = [0, 0, 1, 1, 0, 0, 0, -1]
    np.testing.assert_allclose(released.base_advantage(batch)[:8], base, atol=1e-12)
    advantage = [0, 0, 2, 2, 0, 0, 0, -2, 0, 0]
    np.testing.assert_allclose(released.credit(batch).advantage_T, advantage, atol=1e-9)


def test_ablation_branches_by_entropy_alone(batch_of):
    """Gains 1, 1.2, 1, 0.8 and entropies 0, 2, 2.1, 1: the score prefers token 1, entropy token 2."""
    entropy = np.tile([0.0, 2.0, 2.1, 1.0], 2)
    batch = batch_of([[0, 0, 0, 1.0]] * 2, entropy_T=entropy, current_logprob_T=np.tile(DELTA[0], 2))
    full = APPO(rollouts=4, roots=2, half_life=1.0)
    entropy_only = replace(full, score=Score.entropy)
    assert [p.step for p in full.select_branches(batch, 0, RANDOM)] == [1, 1]
    assert [p.step for p in entropy_only.select_branches(batch, 0, RANDOM)] == [2, 2]
    assert entropy_only.plan() == full.plan(), "the future term still needs the current policy"


def test_ablation_without_the_future_term(batch_of):
    credit = APPO(rollouts=4, roots=2, future_weight=0.0).credit(whole_batch(batch_of))
    np.testing.assert_allclose(credit.advantage_T, [1.5] * 4 + [-1.5] * 4 + [0, 0], atol=1e-12)


def test_ablation_without_the_dual_group(batch_of):
    """Rewards 1, 0, 1/4, 3/4 have mean 1/2 and population variance 5/32; another task's do not matter."""
    advantage = np.array([1, -1, -0.5, 0.5]) / 2 / np.sqrt(5 / 32)
    rewards = np.array([1, 0, 0.25, 0.75, 1, 1, 1, 1])
    pooled = z_scores(rewards, np.repeat([0, 1], 4))
    np.testing.assert_allclose(pooled, [*advantage, 0, 0, 0, 0], atol=1e-12)
    credit = APPO(rollouts=4, roots=2, future_weight=0.0, dual_group=False).credit(whole_batch(batch_of))
    expected = [*np.repeat(advantage[:2], 4), 0, 0]
    np.testing.assert_allclose(credit.advantage_T, expected, atol=1e-12)


def test_masked_and_clipped_before_standardising():
    """Eq. 4 at gamma 1/2: a token that is not the model's has delta 0 but counts as distance if present."""
    np.testing.assert_allclose(
        future_value(np.array([0.0, 0.0, UP]), np.array([3]), 0.5, 0.8, 1.2)[0], 1.2**0.25, atol=1e-12
    )
    beyond = future_value(np.array([5.0, 0.0]), np.array([2]), 0.5, 0.8, 1.2)
    np.testing.assert_allclose(z_score(beyond), [1, -1], atol=1e-12)


def test_controls_of_the_future_term(batch_of):
    batch = whole_batch(batch_of)
    constant = APPOConstant(rollouts=4, roots=2).credit(batch).advantage_T
    np.testing.assert_allclose(constant, [2.25] * 4 + [-2.25] * 4 + [0, 0], atol=1e-12)
    alone = batch_of([[0, 0, 0, 1.0], [0, 0, 0, 0.0]], current_logprob_T=DELTA.ravel())
    future = APPOFuture(rollouts=2, roots=2, half_life=1.0)
    assert future.plan().branches == 0
    np.testing.assert_allclose(
        future.credit(alone).advantage_T, [1.5, 1.6, 1.5, 1.5, -1.5, -1.5, -1.6, -1.5], atol=1e-9
    )


@pytest.mark.parametrize(
    ("gain", "column", "each_minibatch"),
    [
        (Gain.minibatch, "current_logprob_T", True),
        (Gain.lagged, "previous_logprob_T", False),
        (Gain.engine, "current_logprob_T", False),
    ],
)
def test_gains_compare_the_policies_they_name(gain, column, each_minibatch, batch_of):
    """The same gains, told in each variant's own column, choose the same tokens."""
    algorithm = APPO(rollouts=4, roots=2, half_life=1.0, gain=gain)
    assert algorithm.plan().reads == (column,)
    assert algorithm.plan().each_minibatch is each_minibatch
    later = -DELTA.ravel() if gain is Gain.lagged else DELTA.ravel()
    batch = batch_of([[0, 0, 0, 1.0]] * 2, entropy_T=ENTROPY.ravel(), **{column: later})
    points = algorithm.select_branches(batch, 0, RANDOM)
    assert [(p.trajectory, p.step, p.token) for p in points] == [(0, 1, 0), (1, 2, 0)]


def test_the_split_token_is_kept_on_request(batch_of):
    batch = batch_of(
        [[1.0]], tokens=[[3]], entropy_T=np.array([0.0, 1.0, 0.0]), current_logprob_T=np.zeros(3)
    )
    again = APPO(rollouts=2, roots=1).select_branches(batch, 0, RANDOM)
    kept = APPO(rollouts=2, roots=1, keep_split_token=True).select_branches(batch, 0, RANDOM)
    assert ([p.token for p in again], [p.token for p in kept]) == ([1], [2])
    last = replace(batch, entropy_T=np.array([0.0, 0.0, 1.0]))
    kept = APPO(rollouts=2, roots=1, keep_split_token=True).select_branches(last, 0, RANDOM)
    assert [p.token for p in kept] == [2], "nothing would be left to sample after a response's last token"


def test_objective_counts_all_rollouts(batch_of):
    """Eq. 8: J = 1/M sum over roots of the token mean = -0.0122525 at eps 0.2."""
    batch = whole_batch(batch_of)
    credit = APPO(rollouts=4, roots=2, half_life=1.0).credit(batch)
    trajectory_T = torch.tensor([0] * 4 + [1] * 4)
    ratio_T = importance_ratio(
        torch.from_numpy(DELTA.ravel()), RatioUnit.token, torch.arange(8), trajectory_T, torch.zeros(())
    )
    loss_T = clipped_loss(ratio_T, torch.from_numpy(credit.advantage_T[:8]), 0.2, 0.2, 0.0)
    weight_T = token_weights(Aggregation.seq_mean_token_mean, np.arange(8), trajectory_T.numpy(), 4, 4)
    assert -float((torch.from_numpy(weight_T) * loss_T).sum()) == pytest.approx(-0.0122525, abs=1e-6)


def test_branch_points_name_step_and_token(batch_of):
    batch = batch_of(
        [[0, 1.0]],
        tokens=[[2, 3]],
        entropy_T=np.array([0.1, 0.0, 0.0, 0.9, 0.0]),
        current_logprob_T=np.zeros(5),
    )
    (point,) = APPO(rollouts=2, roots=1).select_branches(batch, 0, RANDOM)
    assert (point.trajectory, point.step, point.token) == (0, 1, 1)
