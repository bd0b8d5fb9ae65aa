"""Discounted sums and GAE over contiguous segments.

Shape suffixes: X elements (tokens or steps), G segments (one a trajectory, contiguous, in order).
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def suffix_sums(x_X: Floats, length_G: Ints, factor: float) -> Floats:
    """y_i = sum over k >= i of factor^(k-i) x_k, within each segment."""
    end_G = np.cumsum(length_G)
    total_G = np.zeros(len(length_G))
    y_X = np.empty_like(x_X, dtype=np.float64)
    for back in range(int(length_G.max(initial=0))):
        live = np.flatnonzero(length_G > back)
        index = end_G[live] - 1 - back
        total_G[live] = x_X[index] + factor * total_G[live]
        y_X[index] = total_G[live]
    return y_X


def gae(reward_X: Floats, value_X: Floats, length_G: Ints, gamma: float, lam: float) -> tuple[Floats, Floats]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16): advantages and value targets.

    The value after a segment's last element is 0, at a time-out too: running out of steps is a failure here.
    """
    following_X = np.append(value_X[1:], 0.0)
    following_X[np.cumsum(length_G) - 1] = 0.0
    delta_X = reward_X + gamma * following_X - value_X
    advantage_X = suffix_sums(delta_X, length_G, gamma * lam)
    return advantage_X, advantage_X + value_X
