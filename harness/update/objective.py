"""The policy's objective on a part of a mini-batch, as a function of tensors: differentiable, no model in it.

Shape suffixes: T action tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.factors import Factors, KLEstimator, KLPlace
from harness.update.apart import sums_apart
from harness.update.loss import clipped_loss, importance_ratio, kl


@dataclass(frozen=True)
class Tokens:
    """What the objective reads about each token, all (T,)."""

    advantage_T: Tensor
    old_logprob_T: Tensor
    """Log-probability under the policy that sampled."""
    weight_T: Tensor
    """Its weight in the loss (`token_weights`)."""
    step_T: Tensor
    """Number of its step; a step's tokens are all here."""
    trajectory_T: Tensor
    """Number of its trajectory; a trajectory's tokens are all here."""
    thought_T: Tensor | None = None
    """Whether it is a thought; None: there are none, and no numbers of their own."""


def objective(
    factors: Factors,
    tokens: Tokens,
    logprob_T: Tensor,
    entropy_T: Tensor,
    reference_T: Tensor | None,
    centre: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The loss to minimise, and this part's metrics (sums over the part; ratio and entropy too).

    loss = sum of w x (clipped surrogate - entropy_coef x entropy + kl_coef x KL). `centre` is the
    mini-batch's mean log-ratio for ratio_unit=step_sqrt; None takes that of these tokens.
    """
    log_ratio_T = logprob_T - tokens.old_logprob_T
    if centre is None:
        centre = log_ratio_T.detach().mean()
    ratio_T = importance_ratio(log_ratio_T, factors.ratio_unit, tokens.step_T, tokens.trajectory_T, centre)
    low, high = factors.clip_low, factors.clip_high
    surrogate_T = clipped_loss(ratio_T, tokens.advantage_T, low, high, factors.dual_clip)
    policy_loss = (tokens.weight_T * surrogate_T).sum()
    loss = policy_loss - factors.entropy_coef * (tokens.weight_T * entropy_T).sum()
    with torch.no_grad():
        outside_T = (ratio_T < 1 - low) | (ratio_T > 1 + high)
        metrics = {
            "policy_loss": float(policy_loss),
            "entropy": float(entropy_T.sum()),
            "ratio": float(ratio_T.sum()),
            "clip_fraction": float(outside_T.sum()),
        }
        if tokens.thought_T is not None:
            metrics |= sums_apart(
                tokens.thought_T, logprob_T, tokens.old_logprob_T, outside_T, entropy_T, tokens.advantage_T
            )
    if reference_T is not None:
        divergence = (tokens.weight_T * kl(logprob_T, reference_T, factors.kl_estimator)).sum()
        loss = loss + factors.kl_coef * divergence
        metrics["kl"] = float(divergence.detach())
    return loss, metrics


def kl_in_loss(factors: Factors) -> bool:
    """Whether the objective has a KL term, and so needs reference log-probabilities."""
    return factors.kl_estimator is not KLEstimator.none and factors.kl_place is KLPlace.loss
