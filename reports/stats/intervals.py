"""Location of independent run scores, with 95 % intervals, and of a share of runs.

The training run is the unit: n is the number of runs (seeds), never of episodes or tasks. Over environments,
a seed is one unit: `over_environments` first. Why no percentile or rliable bootstrap: docs/statistics.md.

Shape suffixes: S runs, one per seed; E environments.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
TRIMMED = 0.25
"""Share cut off each end for the interquartile mean."""


@dataclass(frozen=True)
class Interval:
    """An estimate with a confidence interval; the bounds are NaN if `n` runs are too few for one."""

    estimate: float
    low: float
    high: float
    n: int


def finite(values: ArrayLike) -> Floats:
    """The values without NaN: a run that was not made is left out, never imputed here."""
    array = np.asarray(values, dtype=float)
    return np.asarray(array[~np.isnan(array)], dtype=float)


def t_interval(values_S: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Student's t interval for the mean of independent runs."""
    values = finite(values_S)
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1)
    half = float(special.stdtrit(n - 1, (1 + confidence) / 2)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n)


def rate_interval(values_S: ArrayLike) -> Interval:
    """`t_interval` of rates, cut to [0, 1]: a rate lies there, so it costs no coverage."""
    whole = t_interval(values_S)
    low, high = np.clip([whole.low, whole.high], 0.0, 1.0)
    return Interval(whole.estimate, float(low), float(high), whole.n)


def iqm(scores: ArrayLike) -> float:
    """Interquartile mean over all entries: the mean of the middle half (Agarwal et al. 2021); NaN of none."""
    values = finite(scores)
    return float(stats.trim_mean(values, TRIMMED)) if len(values) else math.nan


def iqm_interval(values_S: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """Yuen's t interval for the interquartile mean (Biometrika 61, 1974, eq. 2).

    The squared standard error is the winsorised sum of squares over h (h - 1), with h the runs that are kept
    and h - 1 degrees of freedom. Below 4 runs nothing is cut and it is `t_interval`.
    """
    values = np.sort(finite(values_S))
    n = len(values)
    if n < 2:
        return t_interval(values, confidence)
    cut = int(TRIMMED * n)
    kept = n - 2 * cut
    winsorised = np.clip(values, values[cut], values[n - cut - 1])
    error = math.sqrt(float(np.sum((winsorised - winsorised.mean()) ** 2)) / (kept * (kept - 1)))
    half = float(special.stdtrit(kept - 1, (1 + confidence) / 2)) * error
    centre = iqm(values)
    return Interval(centre, centre - half, centre + half, n)


def median_interval(values_S: ArrayLike, confidence: float = CONFIDENCE) -> Interval:
    """The median with its distribution-free interval between order statistics; no bounds below 6 runs."""
    values = finite(values_S)
    if len(values) == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    centre = float(np.median(values))
    bounds = stats.quantile_test(values, q=centre, p=0.5).confidence_interval(confidence)
    low, high = np.asarray(bounds, dtype=float).tolist()
    return Interval(centre, low, high, len(values))


def share_interval(count: int, n: int) -> Interval:
    """Clopper-Pearson's exact 95 % interval for a share of `n` runs; NaN of none."""
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    tail = (1 - CONFIDENCE) / 2
    low = float(special.betaincinv(count, n - count + 1, tail)) if count else 0.0
    high = float(special.betaincinv(count + 1, n - count, 1 - tail)) if count < n else 1.0
    return Interval(count / n, low, high, n)


def over_environments(scores_SE: ArrayLike) -> Floats:
    """The mean over environments of each seed (S): one number per cluster; NaN if a run is missing.

    Environments weigh the same. Scores should share a scale: success does.
    """
    return np.asarray(np.mean(np.asarray(scores_SE, dtype=float), axis=1), dtype=float)
