"""The policy and value losses, as functions of flat tensors.

Shape suffixes: T action tokens, S steps, N trajectories.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.factors import Aggregation, KLEstimator, RatioUnit

LARGEST_LOG_RATIO = 10.0


def segment_sum(x_T: Tensor, segment_T: Tensor) -> tuple[Tensor, Tensor]:
    """Sum and length of each token's segment, given back to its tokens."""
    segments = int(segment_T.max()) + 1
    total = torch.zeros(segments, dtype=x_T.dtype).index_add(0, segment_T, x_T)
    return total[segment_T], torch.bincount(segment_T, minlength=segments)[segment_T]


def importance_ratio(
    log_ratio_T: Tensor, unit: RatioUnit, step_T: Tensor, trajectory_T: Tensor, centre: Tensor
) -> Tensor:
    """pi/pi_old of the unit each token belongs to, from the tokens' own log-ratios.

    `token`: its own. `step` and `sequence`: the geometric mean over the step (StepPO) or the whole trajectory
    (GSPO, arXiv 2507.18071). `step_sqrt` (CAPO): exp(centre + sum (z - centre) / sqrt(L)), with the
    mini-batch's mean log-ratio as the centre. All tokens of a unit get its value; a unit must be whole.
    """
    if unit is RatioUnit.step_sqrt:
        total_T, length_T = segment_sum(log_ratio_T - centre, step_T)
        log_ratio_T = centre + total_T / length_T.sqrt()
    elif unit is not RatioUnit.token:
        total_T, length_T = segment_sum(log_ratio_T, step_T if unit is RatioUnit.step else trajectory_T)
        log_ratio_T = total_T / length_T
    return log_ratio_T.clamp(max=LARGEST_LOG_RATIO).exp()


def clipped_loss(ratio_T: Tensor, advantage_T: Tensor, low: float, high: float, dual_clip: float) -> Tensor:
    """PPO's pessimistic loss of each token; with dual_clip=c, at most -c A for negative advantages."""
    loss_T = torch.maximum(-advantage_T * ratio_T, -advantage_T * ratio_T.clamp(1 - low, 1 + high))
    if dual_clip:
        loss_T = torch.where(advantage_T < 0, torch.minimum(loss_T, -advantage_T * dual_clip), loss_T)
    return loss_T


def kl(logprob_T: Tensor, reference_T: Tensor, estimator: KLEstimator) -> Tensor:
    """Schulman's k1, k2, k3 of KL(policy || reference), from samples of the policy; k3 clamped as in verl."""
    d_T = reference_T - logprob_T
    if estimator is KLEstimator.k1:
        return -d_T
    if estimator is KLEstimator.k2:
        return d_T**2 / 2
    d_T = d_T.clamp(-20, 20)
    return (d_T.exp() - d_T - 1).clamp(-10, 10)


def token_weights(
    aggregation: Aggregation,
    step_T: NDArray[np.int64],
    trajectory_T: NDArray[np.int64],
    trajectories: int,
    longest: int,
) -> NDArray[np.float64]:
    """Weights w with loss = sum of w x token losses, for the trained tokens of one optimiser step.

    `trajectories` counts those of the mini-batch that are not trained too, as APPO's 1/M does (eq. 8).
    `longest` is the most tokens a trajectory can have, the divisor of `constant`.
    """
    if aggregation is Aggregation.token_mean:
        return np.full(len(step_T), 1.0 / len(step_T))
    if aggregation is Aggregation.seq_mean_token_sum:
        return np.full(len(step_T), 1.0 / trajectories)
    if aggregation is Aggregation.constant:
        return np.full(len(step_T), 1.0 / (trajectories * longest))
    if aggregation is Aggregation.seq_mean_token_mean:
        return 1.0 / (share(trajectory_T) * trajectories)
    if aggregation is Aggregation.step_mean:
        return 1.0 / (share(step_T) * len(np.unique(step_T)))
    first_T = np.diff(step_T, prepend=-1) != 0
    _, index_T = np.unique(trajectory_T, return_inverse=True)
    steps_T = np.bincount(index_T, first_T)[index_T]
    return 1.0 / (share(step_T) * steps_T * trajectories)


def share(segment_T: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many tokens each token's segment has."""
    _, index_T, count = np.unique(segment_T, return_inverse=True, return_counts=True)
    return np.asarray(count[index_T], dtype=np.int64)


def value_loss(value_T: Tensor, old_value_T: Tensor, return_T: Tensor, clip: float) -> Tensor:
    """0.5 max((V - R)^2, (V clipped around V_old - R)^2) of each state."""
    clipped_T = old_value_T + (value_T - old_value_T).clamp(-clip, clip)
    return 0.5 * torch.maximum((value_T - return_T) ** 2, (clipped_T - return_T) ** 2)
