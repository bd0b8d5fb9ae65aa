"""Many comparisons at once.

Shape suffixes: K comparisons of one family.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from reports.stats.intervals import Floats

ALPHA = 0.05


def holm(p_K: ArrayLike) -> Floats:
    """Holm's step-down adjusted p values (1979); a NaN stays NaN but counts in the family.

    As statsmodels' `multipletests`, which does not handle NaN and collects garbage at every call (60 ms).
    """
    p = np.asarray(p_K, dtype=float)
    order = np.argsort(p)  # NaN sorts last
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return adjusted


def benjamini_hochberg(p_K: ArrayLike) -> Floats:
    """Adjusted p values of the false discovery rate (1995): exploratory, they never decide a verdict.

    A NaN stays NaN but counts in the family. Valid for independent or positively dependent tests.
    """
    p = np.asarray(p_K, dtype=float)
    adjusted = stats.false_discovery_control(np.nan_to_num(p, nan=1.0)) if len(p) else p
    return np.where(np.isnan(p), np.nan, adjusted)


def holm_shared(p_difference_K: ArrayLike, p_equivalence_K: ArrayLike) -> tuple[Floats, Floats]:
    """Step-down adjusted p values of both questions about each comparison: is it not 0, is it negligible?

    "The difference is 0" and "the difference is SESOI or more" cannot both be true, so of the 2K nulls at
    most one per comparison is, and a step's factor is the number of comparisons with a null that still stands
    (Shaffer, JASA 81, 1986: Holm's procedure under logical constraints). One family-wise level then covers
    all statements, whatever the true differences. Holm's own factor would fall with each found difference;
    here it falls when both nulls of a comparison are rejected: the price of also saying "equivalent".
    """
    p_2K = np.concatenate([np.asarray(p_difference_K, dtype=float), np.asarray(p_equivalence_K, dtype=float)])
    comparisons = len(p_2K) // 2
    order = np.argsort(p_2K)  # NaN sorts last
    _, first = np.unique(order % comparisons if comparisons else order, return_index=True)
    settles = np.ones(len(order), dtype=int)
    settles[first] = 0
    standing = comparisons - (np.cumsum(settles) - settles)
    result = np.empty_like(p_2K)
    result[order] = np.minimum(1.0, np.maximum.accumulate(p_2K[order] * standing))
    return result[:comparisons], result[comparisons:]
