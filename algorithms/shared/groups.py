"""Group statistics, and the one place that decides whether numbers differ at all.

Shape suffixes: X elements of any kind, S steps, N trajectories, G groups, K states.
"""

import numpy as np
from numpy.typing import NDArray

from harness.records.batch import Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDING = 1e-12
"""A difference below this share of the numbers that it was computed from is a rounding error. Float64 has
relative errors of 1e-16, and a return is a sum of at most some thousand rewards."""


def beyond_rounding(difference_X: Floats, size_X: float | Floats) -> Floats:
    """The differences, with 0 for those that are rounding errors.

    `size_X` is the size of the numbers that were subtracted. Everything that divides by a spread goes
    through here first: divided by a spread of rounding errors, rounding errors become advantages.
    """
    return np.where(np.abs(difference_X) <= ROUNDING * size_X, 0.0, difference_X)


def reward_size(batch: Batch) -> Floats:
    """The sum of |reward| of each trajectory (N,): the size of the numbers that its returns are sums of."""
    return np.bincount(batch.trajectory_S, np.abs(batch.reward_S), len(batch.steps_N)).astype(np.float64)


def largest(x_X: Floats, group_X: Ints) -> Floats:
    """The largest element of each element's group."""
    _, index_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    most_G = np.full(len(count_G), -np.inf)
    np.fmax.at(most_G, index_X, x_X)
    return np.asarray(most_G[index_X])


def centre(x_X: Floats, group_X: Ints, size_X: Floats | None = None) -> Floats:
    """x - mean of its group; a group of one gives 0, and so does a difference that is a rounding error.

    `size_X` is the size of the numbers that each x was computed from, if they can be larger than x.
    """
    _, index_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    centred_X = x_X - (np.bincount(index_X, x_X) / count_G)[index_X]
    # The mean of many equal numbers misses them by an error that grows with their number.
    centred_X = centred_X - (np.bincount(index_X, centred_X) / count_G)[index_X]
    size_G = np.zeros(len(count_G))
    # fmax leaves NaN out without a warning; the NaN itself stays in what is returned.
    np.fmax.at(size_G, index_X, np.fmax(np.abs(x_X), 0.0 if size_X is None else size_X))
    return np.where(count_G[index_X] > 1, beyond_rounding(centred_X, size_G[index_X]), 0.0)


def spread(centred_X: Floats, group_X: Ints, ddof: int = 1) -> Floats:
    """Standard deviation of each element's group, from what `centre` gives.

    The sample's (ddof 1) as torch's and the published codes', or the population's (ddof 0). A group of one
    has 0.
    """
    _, index_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    variance_G = np.bincount(index_X, centred_X**2) / np.maximum(count_G - ddof, 1)
    return np.asarray(np.sqrt(variance_G)[index_X])


def standardise(
    x_X: Floats,
    group_X: Ints,
    *,
    size_X: Floats | None = None,
    divide: bool = True,
    ddof: int = 1,
    epsilon: float = 1e-6,
) -> Floats:
    """(x - mean) / (std + epsilon) within each group; only x - mean when `divide` is false.

    A group without spread gives 0, with an epsilon of 0 too. `size_X`: see `centre`.
    """
    centred_X = centre(x_X, group_X, size_X)
    if not divide:
        return centred_X
    below_X = spread(centred_X, group_X, ddof) + epsilon
    return np.asarray(centred_X / np.where(below_X > 0, below_X, 1.0))


def z_scores(x_X: Floats, group_X: Ints, size_X: Floats | None = None) -> Floats:
    """(x - mean) / population std within each group; 0 without spread. `size_X`: see `centre`."""
    return standardise(x_X, group_X, size_X=size_X, ddof=0, epsilon=0.0)


def against_others(x_X: Floats, group_X: Ints, owner_X: Ints, size_X: Floats | None = None) -> Floats:
    """x - mean over the group's elements of all other owners; 0 in a group of one owner.

    If each element is its own owner, that is n / (n - 1) (x - mean). `size_X`: see `centre`.
    """
    _, group_X, count_G = np.unique(group_X, return_inverse=True, return_counts=True)
    _, owner_X, count_O = np.unique(owner_X, return_inverse=True, return_counts=True)
    centred_X = centre(x_X, group_X, size_X)
    # The group's centred elements add up to 0, so the others' sum is minus the owner's own.
    own_X = np.bincount(owner_X, centred_X)[owner_X]
    others_X = count_G[group_X] - count_O[owner_X]
    return np.where(others_X > 0, centred_X + own_X / np.maximum(others_X, 1), 0.0)


def whiten(x_X: Floats, size: float) -> Floats:
    """(x - mean) / (std + 1e-8) over all elements, as StepPO does over steps; one element alone gives 0.

    `size` is that of the numbers which the elements were computed from.
    """
    centred_X, variance = centred_over_all(x_X, size)
    return np.asarray(centred_X / (np.sqrt(variance) + 1e-8))


def whiten_tokens(x_T: Floats, size: float) -> Floats:
    """(x - mean) / sqrt(variance + 1e-8), as verl's `masked_whiten`; one element alone gives 0."""
    centred_T, variance = centred_over_all(x_T, size)
    return np.asarray(centred_T / np.sqrt(variance + 1e-8))


def centred_over_all(x_X: Floats, size: float) -> tuple[Floats, float]:
    """x - mean over all elements, rounding errors made 0, and the sample variance of that."""
    centred_X = beyond_rounding(x_X - x_X.mean(), size)
    return centred_X, float((centred_X**2).sum()) / max(len(x_X) - 1, 1)


def members(group_X: Ints) -> list[Ints]:
    """The places of each group's elements, group by group in the order of their numbers."""
    order = np.argsort(group_X, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group_X[order])) + 1)


def shared_share(state_S: Ints) -> float:
    """Share of steps whose state occurs more than once: where a state group says anything."""
    _, index_S, count_K = np.unique(state_S, return_inverse=True, return_counts=True)
    return float((count_K[index_S] > 1).mean())


def score_over_steps(batch: Batch, penalty: float) -> Floats:
    """Every step's score in verl-agent's code: its trajectory's reward, less a penalty if it was invalid.

    Statistics over these count long trajectories more often than the papers' equations say.
    """
    return batch.reward_N[batch.trajectory_S] - penalty * ~batch.valid_S
