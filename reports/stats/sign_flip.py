"""The paired sign-flip permutation test (Lehmann & Romano, Testing Statistical Hypotheses, 3rd ed., 15.2).

Null: the differences between two arms are symmetric about a shift. Arms that are exchangeable within a seed
have differences symmetric about 0 whatever the distribution of scores, collapses included, so the test is
exact there.

Shape suffixes: S seeds, H arrangements of half of the signs.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from reports.stats.intervals import Floats, finite

EXACT_SEEDS = 20
"""Up to so many seeds all 2^n sign arrangements are counted, beyond it `RESAMPLES` random ones."""
RESAMPLES = 100_000
ROUNDING = 1e-9
"""Equal sums that were added up in another order must count as equal: share of the sum of magnitudes."""


def sign_flip_p(differences_S: ArrayLike) -> float:
    """Two-sided p for a mean difference of 0; NaN without seeds. NaN differences are left out."""
    differences = finite(differences_S)
    # Flipping every sign turns the lower tail into the upper one.
    return min(1.0, 2 * upper_tail(differences if differences.sum() > 0 else -differences))


def above_p(differences_S: ArrayLike, bound: float) -> float:
    """One-sided p for a mean difference of `bound` or less, against a larger one; NaN without seeds."""
    return upper_tail(finite(differences_S) - bound)


def upper_tail(differences_S: Floats) -> float:
    """Share of sign arrangements whose sum reaches the observed one."""
    if len(differences_S) == 0:
        return math.nan
    threshold = float(differences_S.sum() - ROUNDING * np.abs(differences_S).sum())
    if len(differences_S) <= EXACT_SEEDS:
        # Meet in the middle: a sum is one of the first half's plus one of the second half's.
        first_H, second_H = (signed_sums(half) for half in np.array_split(differences_S, 2))
        below = np.searchsorted(np.sort(second_H), threshold - first_H)
        return 1.0 - int(below.sum()) / (len(first_H) * len(second_H))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(RESAMPLES, len(differences_S)))
    extreme = int(np.sum(signs @ differences_S >= threshold))
    return (extreme + 1) / (RESAMPLES + 1)


def signed_sums(differences_S: Floats) -> Floats:
    """The sums under all 2^S arrangements of the signs (H)."""
    sums = np.zeros(1)
    for difference in differences_S:
        sums = np.concatenate([sums + difference, sums - difference])
    return sums


def smallest_p(seeds: int) -> float:
    """The smallest p that `sign_flip_p` can give for `seeds` paired differences: all of one sign."""
    return min(1.0, 2.0 ** (1 - seeds)) if seeds <= EXACT_SEEDS else 2 / (RESAMPLES + 1)
