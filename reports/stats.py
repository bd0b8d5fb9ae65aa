"""Statistics on run means. Pure functions: numbers in, numbers out.

The unit of replication is the training run. Arms that share environment, model and seed share initial
weights, tasks and sampling keys, so they are compared by differences within a seed.

Shape suffixes: S seeds, K comparisons of one family, P points of a learning curve.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
ALPHA = 0.05
EXACT_SEEDS = 16
"""Up to so many seeds all 2^n sign arrangements are counted, beyond it `RESAMPLES` random ones."""
RESAMPLES = 100_000


@dataclass(frozen=True)
class Interval:
    """A mean with a confidence interval; the bounds are NaN where `n` is below 2."""

    mean: float
    low: float
    high: float
    n: int


def t_interval(values_S: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval for the mean of independent runs."""
    values = np.asarray(values_S, dtype=float)
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def rate_interval(values_S: ArrayLike) -> Interval:
    """`t_interval` of rates, cut to [0, 1]: a rate lies there, so it costs no coverage."""
    whole = t_interval(values_S)
    low, high = np.clip([whole.low, whole.high], 0.0, 1.0)
    return Interval(whole.mean, float(low), float(high), whole.n)


def sign_flip_p(differences_S: ArrayLike) -> float:
    """Two-sided p of the paired sign-flip permutation test of the mean difference; NaN without seeds.

    Under the null each seed's difference is as likely to have the other sign. Exact up to `EXACT_SEEDS`.
    """
    differences = np.asarray(differences_S, dtype=float)
    if len(differences) == 0:
        return math.nan
    # Equal sums that were added up in another order must count as equal.
    threshold = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if len(differences) <= EXACT_SEEDS:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float(np.mean(np.abs(sums) >= threshold))
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(RESAMPLES, len(differences)))
    extreme = int(np.sum(np.abs(signs @ differences) >= threshold))
    return (extreme + 1) / (RESAMPLES + 1)


def smallest_p(seeds: int) -> float:
    """The smallest p that `sign_flip_p` can give for `seeds` paired differences: all of one sign."""
    return min(1.0, 2.0 ** (1 - seeds)) if seeds <= EXACT_SEEDS else 1 / (RESAMPLES + 1)


def seeds_needed(comparisons: int, alpha: float = ALPHA) -> int:
    """Paired seeds below which no comparison of a Holm family can reach `alpha`."""
    return math.ceil(math.log2(2 * comparisons / alpha))


def holm(p_K: ArrayLike) -> Floats:
    """Holm's step-down adjusted p values; a NaN stays NaN but counts in the family."""
    p = np.asarray(p_K, dtype=float)
    order = np.argsort(p)  # NaN sorts last
    stepped = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted


def verdict(difference: float, adjusted_p: float, alpha: float = ALPHA) -> str:
    """`better`, `worse` or `undecided`: a large p is no evidence of equality."""
    if adjusted_p <= alpha and difference != 0:
        return "better" if difference > 0 else "worse"
    return "undecided"


def at_fractions(spent_P: ArrayLike, success_P: ArrayLike, fractions: ArrayLike) -> Floats:
    """A run's success at fixed fractions of the budget, linear between evaluations; NaN beyond its last."""
    interpolated = np.interp(
        np.asarray(fractions, dtype=float),
        np.asarray(spent_P, dtype=float),
        np.asarray(success_P, dtype=float),
        right=math.nan,
    )
    return np.asarray(interpolated, dtype=float)


def area(spent_P: ArrayLike, success_P: ArrayLike) -> float:
    """Area under success over the share of the budget from 0 to 1: the mean success while learning.

    NaN for a run that did not spend its budget.
    """
    spent, success = np.asarray(spent_P, dtype=float), np.asarray(success_P, dtype=float)
    grid = np.union1d(spent[(spent >= 0) & (spent <= 1)], [0.0, 1.0])
    return float(np.trapezoid(at_fractions(spent, success, grid), grid))
