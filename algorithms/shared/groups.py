"""Group statistics.

Shape suffixes: X elements of any kind, S steps, N trajectories, G groups, K states.
"""

import numpy as np
from numpy.typing import NDArray

from harness.records.batch import Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def centre(x_X: Floats, group_X: Ints) -> Floats:
    """x - mean of its group; a group of one gives 0."""
    _, index_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    mean_G = np.bincount(index_X, x_X) / count_G
    # A mean of equal numbers can miss them by a rounding error, which dividing by a spread of 0 blows up.
    centred_X = np.where(count_G[index_X] > 1, x_X - mean_G[index_X], 0.0)
    return np.where(np.abs(centred_X) > 1e-12 * np.abs(x_X), centred_X, 0.0)


def spread(x_X: Floats, group_X: Ints, ddof: int = 1) -> Floats:
    """Standard deviation of each element's group: the sample's (ddof 1), as torch's and the published codes'.

    A group of one has 0.
    """
    _, index_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    variance_G = np.bincount(index_X, centre(x_X, group_X) ** 2) / np.maximum(count_G - ddof, 1)
    return np.asarray(np.sqrt(variance_G)[index_X])


def standardise(
    x_X: Floats, group_X: Ints, *, divide: bool = True, ddof: int = 1, epsilon: float = 1e-6
) -> Floats:
    """(x - mean) / (std + epsilon) within each group; only x - mean when `divide` is false."""
    centred_X = centre(x_X, group_X)
    return centred_X / (spread(x_X, group_X, ddof) + epsilon) if divide else centred_X


def against_others(x_X: Floats, group_X: Ints) -> Floats:
    """x - mean of the others of its group = n / (n - 1) (x - mean); a group of one gives 0."""
    _, index_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    return np.asarray(centre(x_X, group_X) * (count_G / np.maximum(count_G - 1, 1))[index_X])


def whiten(x_X: Floats) -> Floats:
    """(x - mean) / (std + 1e-8) over all elements, as StepPO does over steps; one element alone gives 0."""
    return x_X - x_X if len(x_X) == 1 else np.asarray((x_X - x_X.mean()) / (x_X.std(ddof=1) + 1e-8))


def whiten_tokens(x_T: Floats) -> Floats:
    """(x - mean) / sqrt(variance + 1e-8), as verl's `masked_whiten`; one element alone gives 0."""
    return x_T - x_T if len(x_T) == 1 else np.asarray((x_T - x_T.mean()) / np.sqrt(x_T.var(ddof=1) + 1e-8))


def shared_share(state_S: Ints) -> float:
    """Share of steps whose state occurs more than once: where a state group says anything."""
    _, index_S, count_K = np.unique(state_S, return_inverse=True, return_counts=True)
    return float((count_K[index_S] > 1).mean())


def score_over_steps(batch: Batch, penalty: float) -> Floats:
    """Every step's score in verl-agent's code: its trajectory's reward, less a penalty if it was invalid.

    Statistics over these count long trajectories more often than the papers' equations say.
    """
    return batch.reward_N[batch.trajectory_S] - penalty * ~batch.valid_S
