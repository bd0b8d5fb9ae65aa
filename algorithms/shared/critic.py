"""Credit from a critic, on either unit: the whole difference between token-level PPO and step credit."""

import numpy as np

from algorithms.base import Credit, CreditUnit, Factors, NormaliseUnit
from algorithms.shared.groups import standardise
from algorithms.shared.returns import gae
from harness.records.batch import Batch


def critic_credit(batch: Batch, factors: Factors) -> Credit:
    """GAE over tokens or over steps (StepPO sections 1.4 and 2), then whitening over the same unit.

    A step's reward stands on its last token; its value is read at its first token, which is the critic's
    output at the last prompt token. Targets are the un-whitened returns.
    """
    if batch.value_T is None:
        raise ValueError("this credit needs the critic's values (Batch.value_T)")
    critic_T = np.ones(len(batch.logprob_T), dtype=bool)
    if factors.credit_unit is CreditUnit.token:
        reward_T = np.zeros(len(batch.logprob_T))
        reward_T[batch.first_token_S + batch.tokens_S - 1] = batch.reward_S
        advantage_T, return_T = gae(reward_T, batch.value_T, batch.tokens_N, factors.gamma, factors.lam)
        whitened_T = whiten(advantage_T, factors.normalise_unit)
    else:
        value_S = batch.value_T[batch.first_token_S]
        advantage_S, return_S = gae(batch.reward_S, value_S, batch.steps_N, factors.gamma, factors.lam)
        whitened_T = whiten(advantage_S, factors.normalise_unit)[batch.step_T]
        advantage_T, return_T = advantage_S[batch.step_T], return_S[batch.step_T]
        critic_T = np.zeros(len(batch.logprob_T), dtype=bool)
        critic_T[batch.first_token_S] = True
    residual = (return_T - batch.value_T)[critic_T]
    spread = float(np.var(return_T[critic_T]))
    return Credit(
        advantage_T=whitened_T,
        return_T=return_T,
        critic_T=critic_T,
        diagnostics={
            "advantage_std": float(np.std(advantage_T)),
            "explained_variance": 1.0 - float(np.var(residual)) / spread if spread > 0 else 0.0,
        },
    )


def whiten(advantage_X: np.ndarray, unit: NormaliseUnit) -> np.ndarray:
    """(A - mean) / (std + 1e-8) over all elements, each counting once; one element alone gives 0."""
    if unit is NormaliseUnit.none:
        return advantage_X
    return standardise(advantage_X, np.zeros(len(advantage_X), dtype=np.int64), epsilon=1e-8)
