"""Credit that the factors alone determine: return minus baseline on a unit, then normalised.

PPO, StepPO, CAPO, GRPO, RLOO, REINFORCE++ and GSPO are points of it; they differ in their factors only.

Shape suffixes: U credit units (trajectories, steps or tokens), S steps, T tokens, N trajectories.
"""

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Computes, Credit
from algorithms.factors import Baseline, CreditUnit, Factors, NormaliseUnit
from algorithms.shared.groups import against_others, centre, spread, whiten, whiten_tokens
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
    residual = (return_T - batch.value_T)[critic_T]
    variance = float(np.var(return_T[critic_T]))
    return Credit(
        advantage_T=normalise(batch, raw_U, factors),
        return_T=return_T,
        critic_T=critic_T,
        diagnostics={
            "advantage_std": float(np.std(raw_T)),
            "explained_variance": 1.0 - float(np.var(residual)) / variance if variance > 0 else 0.0,
        },
    )


def group_credit(batch: Batch, factors: Factors) -> Credit:
    """A unit's return less the mean of its group, the mean of the others of its group, or nothing.

    The return is the trajectory's reward, or the discounted reward to go from the step or token on.
    """
    return_U, group_U = returns(batch, factors)
    compared_U = compare(return_U, group_U, factors)
    advantage_T = normalise(batch, compared_U, factors)
    return Credit(advantage_T, diagnostics={"advantage_std": float(advantage_T.std())})


def returns(batch: Batch, factors: Factors) -> tuple[Floats, Ints]:
    """The return and the group of every credit unit."""
    unit = factors.credit_unit
    if unit is CreditUnit.trajectory:
        return batch.reward_N, batch.group_N
    gamma = discount(batch, factors.gamma, unit, factors.discount_unit)
    if unit is CreditUnit.step:
        return suffix_sums(batch.reward_S, batch.steps_N, gamma), batch.group_S
    return suffix_sums(batch.reward_T, batch.tokens_N, gamma), batch.group_S[batch.step_T]


def compare(return_U: Floats, group_U: Ints, factors: Factors) -> Floats:
    """Return minus baseline; over the group's std with normalise_unit=trajectories_of_group."""
    if factors.baseline is Baseline.none:
        return return_U
    against = centre if factors.baseline is Baseline.group_mean else against_others
    if factors.normalise_unit is NormaliseUnit.trajectories_of_group:
        return against(return_U, group_U) / (spread(return_U, group_U) + 1e-6)
    return against(return_U, group_U)


def normalise(batch: Batch, advantage_U: Floats, factors: Factors) -> Floats:
    """The advantages of tokens, whitened over the batch's steps or tokens where the factors say so."""
    unit, over = factors.credit_unit, factors.normalise_unit
    if unit is CreditUnit.trajectory:
        unit, advantage_U = CreditUnit.step, advantage_U[batch.trajectory_S]
    if over is NormaliseUnit.steps_of_batch:
        advantage_U = whiten(advantage_U)
    advantage_T = advantage_U[batch.step_T] if unit is CreditUnit.step else advantage_U
    return whiten_tokens(advantage_T) if over is NormaliseUnit.tokens_of_batch else advantage_T
