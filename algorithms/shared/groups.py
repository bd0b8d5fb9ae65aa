"""Group statistics.

Shape suffixes: X elements of any kind.
"""

import numpy as np
from numpy.typing import NDArray

from harness.records.batch import Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def standardise(
    x_X: Floats, group_X: Ints, *, divide: bool = True, ddof: int = 1, epsilon: float = 1e-6
) -> Floats:
    """(x - mean) / (std + epsilon) within each group; only x - mean when `divide` is false.

    A group of one gives 0. `ddof=1` is the sample standard deviation, as torch's and the published codes'.
    """
    _, index_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    mean_G = np.bincount(index_X, x_X) / count_G
    centred_X = np.where(count_G[index_X] > 1, x_X - mean_G[index_X], 0.0)
    if not divide:
        return centred_X
    variance_G = np.bincount(index_X, centred_X**2) / np.maximum(count_G - ddof, 1)
    return centred_X / (np.sqrt(variance_G) + epsilon)[index_X]


def episode_advantage(batch: Batch, *, divide: bool = True) -> Floats:
    """GRPO's advantage of each step's trajectory, statistics over the trajectories of a group."""
    return standardise(batch.reward_N, batch.group_N, divide=divide)[batch.trajectory_S]


def episode_advantage_over_steps(batch: Batch, *, penalty: float, divide: bool) -> Floats:
    """The episode term of verl-agent's code: each step is a row of its group and pays for being invalid.

    Long trajectories therefore weigh more in the statistics than the papers' equations say.
    """
    score_S = batch.reward_N[batch.trajectory_S] - penalty * ~batch.valid_S
    return standardise(score_S, batch.group_S, divide=divide)


def shared_share(state_S: Ints) -> float:
    """Share of steps whose state occurs more than once: where a state group says anything."""
    _, index_S, count_K = np.unique(state_S, return_inverse=True, return_counts=True)
    return float((count_K[index_S] > 1).mean())
