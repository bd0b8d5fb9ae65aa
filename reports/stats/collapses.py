"""Collapses of two paired arms: a question of their own, besides who scores higher.

Shape suffixes: S seeds.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from reports.stats.multiplicity import ALPHA
from reports.stats.sign_test import sign_test_p


@dataclass(frozen=True)
class Collapses:
    """How often each side collapsed on the paired seeds."""

    seeds: int
    left: int
    right: int
    left_at_most: float
    right_at_most: float
    """Collapse rates that these seeds do not exclude: one-sided 95 % limits (Clopper-Pearson); NaN without
    seeds."""
    p: float
    """McNemar's exact test of equal rates: which side it was on the seeds where one side alone collapsed.

    NaN without seeds, and if the sides have unequal numbers of arms: more runs collapse more often."""


def collapses(left_S: ArrayLike, right_S: ArrayLike, comparable: bool = True) -> Collapses:
    """Count the seeds on which a side collapsed; `comparable`: both sides have equally many arms."""
    left, right = np.asarray(left_S, dtype=bool), np.asarray(right_S, dtype=bool)
    n, a, b = len(left), int(left.sum()), int(right.sum())
    alone = int((left & ~right).sum()), int((right & ~left).sum())
    p = float(sign_test_p(*alone)) if n and comparable else math.nan
    return Collapses(n, a, b, rate_at_most(a, n), rate_at_most(b, n), p)


def rate_at_most(count: int, n: int, level: float = ALPHA) -> float:
    """Upper limit of a rate seen `count` times in `n`, wrong with a chance of `level`.

    None seen: 1 - level^(1/n). NaN of none.
    """
    if n == 0:
        return math.nan
    return float(special.betaincinv(count + 1, n - count, 1 - level)) if count < n else 1.0
