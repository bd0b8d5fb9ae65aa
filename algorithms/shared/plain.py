"""Credit that the factors alone determine: return minus baseline on a unit, then normalised.

PPO, StepPO, CAPO, GRPO, RLOO, REINFORCE++ and GSPO are points of it; they differ in their factors only.

Shape suffixes: U credit units (trajectories, steps or tokens), S steps, T tokens, N trajectories.
"""

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Computes, Credit
from algorithms.factors import Baseline, CreditUnit, Factors, NormaliseUnit
from algorithms.shared.groups import (
    against_others,
    beyond_rounding,
    centre,
    reward_size,
    spread,
    whiten,
    whiten_tokens,
)
from algorithms.shared.returns import discount, gae, suffix_sums
from harness.records.batch import Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PLAIN: Computes = {
    "baseline": (
        Baseline.token_critic,
        Baseline.step_critic,
        Baseline.group_mean,
        Baseline.leave_one_out,
        Baseline.none,
    )
}
"""What `plain_credit` computes."""


def plain_credit(batch: Batch, factors: Factors) -> Credit:
    """The credit of a point in the factor space, with any baseline but the state group and the graph."""
    return critic_credit(batch, factors) if factors.has_critic else group_credit(batch, factors)


def critic_credit(batch: Batch, factors: Factors) -> Credit:
    """GAE over tokens or over steps (StepPO's `core_algos.py`: token_gae, step GAE), then whitening.

    A step's value is read at its first token, which is the critic's output at the last prompt token. Targets
    are the un-whitened returns.
    """
    assert batch.value_T is not None, "this credit needs the critic's values (Batch.value_T)"
    unit = factors.credit_unit
    gamma = discount(batch, factors.gamma, unit, factors.discount_unit)
    lam = discount(batch, factors.lam, unit, factors.discount_unit)
    if unit is CreditUnit.token:
        raw_U, return_T = gae(batch.reward_T, batch.value_T, batch.tokens_N, gamma, lam)
        raw_T, critic_T = raw_U, np.ones(len(return_T), dtype=bool)
    else:
        value_S = batch.value_T[batch.first_token_S]
        raw_U, return_S = gae(batch.reward_S, value_S, batch.steps_N, gamma, lam)
        raw_T, return_T = raw_U[batch.step_T], return_S[batch.step_T]
        critic_T = np.zeros(len(return_T), dtype=bool)
        critic_T[batch.first_token_S] = True
    size = max(float(reward_size(batch).max()), float(np.abs(batch.value_T).max()))
    return Credit(
        advantage_T=normalise(batch, raw_U, factors, size),
        return_T=return_T,
        critic_T=critic_T,
        diagnostics={
            "advantage_std": float(np.std(raw_T)),
            "explained_variance": explained_variance(return_T[critic_T], batch.value_T[critic_T], size),
        },
    )


def explained_variance(return_X: Floats, value_X: Floats, size: float) -> float:
    """1 - var(return - value) / var(return): 1 is a perfect critic; 0 if all returns are equal.

    `size` is that of the rewards and values which the returns are sums of.
    """
    variance = float((beyond_rounding(return_X - return_X.mean(), size) ** 2).mean())
    return 1.0 - float(np.var(return_X - value_X)) / variance if variance else 0.0


def group_credit(batch: Batch, factors: Factors) -> Credit:
    """A unit's return less the mean of its group, the mean of the others of its group, or nothing.

    The return is the trajectory's reward, or the discounted reward to go from the step or token on.
    """
    return_U, owner_U = returns(batch, factors)
    size_N = reward_size(batch)
    compared_U = compare(return_U, batch.group_N[owner_U], owner_U, size_N[owner_U], factors)
    advantage_T = normalise(batch, compared_U, factors, float(size_N.max()))
    return Credit(advantage_T, diagnostics={"advantage_std": float(advantage_T.std())})


def returns(batch: Batch, factors: Factors) -> tuple[Floats, Ints]:
    """The return of every credit unit, and the trajectory that it belongs to."""
    unit = factors.credit_unit
    if unit is CreditUnit.trajectory:
        return batch.reward_N, np.arange(len(batch.steps_N))
    gamma = discount(batch, factors.gamma, unit, factors.discount_unit)
    if unit is CreditUnit.step:
        return suffix_sums(batch.reward_S, batch.steps_N, gamma), batch.trajectory_S
    return suffix_sums(batch.reward_T, batch.tokens_N, gamma), batch.trajectory_T


def compare(return_U: Floats, group_U: Ints, owner_U: Ints, size_U: Floats, factors: Factors) -> Floats:
    """Return minus baseline; over the group's std with normalise_unit=trajectories_of_group.

    What has one owner is left out of its own baseline together (`leave_one_out`). `size_U` is the size of the
    rewards that each return is a sum of.
    """
    if factors.baseline is Baseline.none:
        return return_U
    centred_U = compared_U = centre(return_U, group_U, size_U)
    if factors.baseline is Baseline.leave_one_out:
        compared_U = against_others(return_U, group_U, owner_U, size_U)
    if factors.normalise_unit is NormaliseUnit.trajectories_of_group:
        return compared_U / (spread(centred_U, group_U) + 1e-6)
    return compared_U


def normalise(batch: Batch, advantage_U: Floats, factors: Factors, size: float) -> Floats:
    """The advantages of tokens, whitened over the batch's steps or tokens if the factors say so.

    `size` is that of the rewards (and values) that the advantages are differences of.
    """
    unit, over = factors.credit_unit, factors.normalise_unit
    if unit is CreditUnit.trajectory:
        unit, advantage_U = CreditUnit.step, advantage_U[batch.trajectory_S]
    if over is NormaliseUnit.steps_of_batch:
        advantage_U = whiten(advantage_U, size)
    advantage_T = advantage_U[batch.step_T] if unit is CreditUnit.step else advantage_U
    return whiten_tokens(advantage_T, size) if over is NormaliseUnit.tokens_of_batch else advantage_T
