"""Asymptote and efficiency of a learning curve: where a method ends, and how fast it gets there (ScaleRL,
Khatri et al. 2025).

    success(b) = start + (asymptote - start) / (1 + (half / b)^exponent)

with b the share of the budget spent, `half` the share at which half of the gain is made.

Shape suffixes: S runs, P points of the curves, R resamples.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from reports.stats.intervals import CONFIDENCE, Floats, Interval

RESAMPLED_SEEDS = 200
"""Bootstrap samples of seeds: a standard error is known to 5 %."""
LEAST_GAIN = 0.02
"""Below this rise of the mean curve there is nothing to fit."""
LARGEST_EXPONENT = 20.0
LONGEST_HALF = 10.0
"""Bounds of the fit: a step, and half of the gain at ten budgets."""


@dataclass(frozen=True)
class Scaling:
    """The saturating curve of one arm, fitted to its mean over seeds; NaN where `reason` says why not."""

    asymptote: Interval
    """Success that the curve tends to, 0 to 1."""
    exponent: Interval
    """Steepness."""
    half: Interval
    """Share of the budget at which half of the gain is made: the smaller, the more efficient."""
    reason: str = ""


def scaling_fit(spent_P: ArrayLike, success_SP: ArrayLike) -> Scaling:
    """Fit the mean curve over seeds; 95 % intervals by resampling whole runs.

    `spent_P` ascends from 0; every run is read at those shares of the budget. Refused, with the reason: one
    run, a missing point, a curve that does not rise, and one that has not made half of its fitted gain within
    the budget, whose asymptote would be a guess.
    """
    spent, success = np.asarray(spent_P, dtype=float), np.asarray(success_SP, dtype=float)
    n = len(success)
    if n < 2:
        return no_scaling(n, "the spread between runs takes two of them")
    if np.isnan(success).any():
        return no_scaling(n, "a run lacks a point of its curve")
    mean_P = success.mean(axis=0)
    if mean_P.max() - mean_P[0] < LEAST_GAIN:
        return no_scaling(n, f"the mean curve rises by less than {LEAST_GAIN:g}")
    fitted_3 = fit(spent, mean_P)
    if fitted_3 is None:
        return no_scaling(n, "least squares did not converge")
    if fitted_3[2] > math.log(spent[-1]):
        return no_scaling(n, "half of the fitted gain lies beyond the budget: the asymptote would be a guess")
    reach_3 = reach(spent, success)
    if reach_3 is None:
        return no_scaling(n, "most resampled curves could not be fitted")
    low_3, high_3 = fitted_3 - reach_3, fitted_3 + reach_3
    exponent, half = (
        Interval(math.exp(fitted_3[i]), math.exp(low_3[i]), math.exp(high_3[i]), n) for i in (1, 2)
    )
    asymptote = Interval(float(fitted_3[0]), max(0.0, float(low_3[0])), min(1.0, float(high_3[0])), n)
    return Scaling(asymptote, exponent, half)


def reach(spent_P: Floats, success_SP: Floats) -> Floats | None:
    """Half widths of the 95 % intervals: t times the bootstrap standard error over seeds.

    Percentiles of the bootstrap are too narrow at few seeds; so is its standard error, by the factor
    sqrt(n / (n - 1)), which is put right here.
    """
    n, draw = len(success_SP), np.random.default_rng(0)
    resampled = [
        fit(spent_P, success_SP[draw.integers(0, n, n)].mean(axis=0)) for _ in range(RESAMPLED_SEEDS)
    ]
    fitted_R3 = np.array([each for each in resampled if each is not None])
    if len(fitted_R3) < RESAMPLED_SEEDS / 2:
        return None
    error_3 = fitted_R3.std(axis=0, ddof=1) * math.sqrt(n / (n - 1))
    return np.asarray(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error_3, dtype=float)


def fit(spent_P: Floats, mean_P: Floats) -> Floats | None:
    """Asymptote, log exponent and log half by bounded least squares; None where it does not converge.

    The start is held at the curve's first point.
    """
    start = float(mean_P[0])
    guess = [min(1.0, max(float(mean_P[-1]), start + 1e-3)), math.log(2.0), math.log(0.3)]
    bounds = ([0.0, math.log(0.1), math.log(1e-3)], [1.0, math.log(LARGEST_EXPONENT), math.log(LONGEST_HALF)])

    def curve(b: Floats, asymptote: float, exponent: float, half: float) -> Floats:
        with np.errstate(divide="ignore"):
            power = np.exp(np.minimum(math.exp(exponent) * (half - np.log(b)), 700.0))
        return np.asarray(start + (asymptote - start) / (1 + power), dtype=float)

    try:
        fitted = optimize.curve_fit(curve, spent_P, mean_P, p0=guess, bounds=bounds)[0]
    except RuntimeError:
        return None
    return np.asarray(fitted, dtype=float)


def no_scaling(n: int, reason: str) -> Scaling:
    """No numbers, and why."""
    unknown = Interval(math.nan, math.nan, math.nan, n)
    return Scaling(unknown, unknown, unknown, reason)
