"""Discounted sums and GAE over contiguous segments.

Shape suffixes: X elements (tokens or steps), G segments (one per trajectory, contiguous, in order).
"""

import numpy as np
from numpy.typing import NDArray

from algorithms.factors import CreditUnit, DiscountUnit
from harness.records.batch import Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def suffix_sums(x_X: Floats, length_G: Ints, factor: float | Floats) -> Floats:
    """y_i = x_i + factor_i y_(i+1) within each segment: with one factor, sum over k >= i of factor^(k-i) x_k.

    Elements are laid out by their distance from their segment's end, longest segments first, so that each
    turn of the loop works on one contiguous run.
    """
    order_G = np.argsort(-length_G, kind="stable")
    longest = int(length_G.max(initial=0))
    # live[b]: how many segments are longer than b, which are the first ones in order_G.
    live = len(length_G) - np.searchsorted(np.sort(length_G), np.arange(longest), side="right")
    start = np.cumsum(live) - live
    back_X = np.repeat(np.cumsum(length_G), length_G) - 1 - np.arange(len(x_X))
    rank_G = np.empty(len(length_G), dtype=np.int64)
    rank_G[order_G] = np.arange(len(length_G))
    place_X = start[back_X] + np.repeat(rank_G, length_G)
    packed_X = np.empty(len(x_X))
    packed_X[place_X] = x_X
    factor_X = np.empty(len(x_X))
    factor_X[place_X] = factor
    for back in range(1, longest):
        here = slice(start[back], start[back] + live[back])
        after = slice(start[back - 1], start[back - 1] + live[back])
        packed_X[here] += factor_X[here] * packed_X[after]
    return np.asarray(packed_X[place_X])


def gae(
    reward_X: Floats, value_X: Floats, length_G: Ints, gamma: float | Floats, lam: float | Floats
) -> tuple[Floats, Floats]:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16): advantages and value targets.

    The value after a segment's last element is 0, at a time-out too: running out of steps is a failure here.
    """
    following_X = np.append(value_X[1:], 0.0)
    following_X[np.cumsum(length_G) - 1] = 0.0
    delta_X = reward_X + gamma * following_X - value_X
    advantage_X = suffix_sums(delta_X, length_G, gamma * lam)
    return advantage_X, advantage_X + value_X


def discount(batch: Batch, base: float, credit_unit: CreditUnit, unit: DiscountUnit) -> float | Floats:
    """The discount from each element of the credit unit (tokens, or steps) to the next: base^exponent.

    A step of L tokens costs `base` once (step), L times (token), or L / mean L times (mean_step).
    """
    if base == 1.0:
        return 1.0
    if unit is DiscountUnit.step and credit_unit is CreditUnit.step:
        return base
    if unit is DiscountUnit.step:
        factor_T = np.ones(len(batch.logprob_T))
        factor_T[batch.last_token_S] = base
        return factor_T
    per_token = base if unit is DiscountUnit.token else base ** (1.0 / float(batch.tokens_S.mean()))
    if credit_unit is CreditUnit.token:
        return float(per_token)
    return np.asarray(per_token**batch.tokens_S, dtype=np.float64)
