"""The KL penalty in the reward: `kl_place=reward`, for any algorithm.

Shape suffixes: T tokens, S steps.
"""

from dataclasses import replace

import numpy as np

from algorithms.factors import Factors, KLEstimator, KLPlace
from harness.records.batch import Batch


def with_kl_in_reward(batch: Batch, factors: Factors) -> Batch:
    """The batch with kl_coef x KL(sampling policy || start policy) taken from each token's reward.

    As verl's `apply_kl_penalty`. Without `kl_place=reward`, the batch itself.
    """
    if factors.kl_place is not KLPlace.reward:
        return batch
    assert batch.reference_logprob_T is not None, "kl_place=reward needs Batch.reference_logprob_T"
    d_T = batch.reference_logprob_T - batch.logprob_T
    if factors.kl_estimator is KLEstimator.k1:
        kl_T = -d_T
    elif factors.kl_estimator is KLEstimator.k2:
        kl_T = d_T**2 / 2
    else:
        d_T = np.clip(d_T, -20, 20)
        kl_T = np.clip(np.exp(d_T) - d_T - 1, -10, 10)
    penalty_T = factors.kl_coef * kl_T
    reward_S = batch.reward_S - np.add.reduceat(penalty_T, batch.first_token_S)
    return replace(batch, reward_S=reward_S, penalty_T=penalty_T)
