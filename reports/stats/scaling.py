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
BOUNDS = ([0.0, math.log(0.1), math.log(1e-3)], [1.0, math.log(LARGEST_EXPONENT), math.log(LONGEST_HALF)])
"""Of asymptote, log exponent and log half."""
REFIT_STEPS = 200


@dataclass(frozen=True)
class Scaling:
    """The saturating curve of one arm, fitted to its mean over seeds; NaN if that failed (see `reason`)."""

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
    reach_3 = reach(spent, success, fitted_3)
    if reach_3 is None:
        return no_scaling(n, "most resampled curves could not be fitted")
    low_3, high_3 = fitted_3 - reach_3, fitted_3 + reach_3
    exponent, half = (
        Interval(math.exp(fitted_3[i]), math.exp(low_3[i]), math.exp(high_3[i]), n) for i in (1, 2)
    )
    asymptote = Interval(float(fitted_3[0]), max(0.0, float(low_3[0])), min(1.0, float(high_3[0])), n)
    return Scaling(asymptote, exponent, half)


def reach(spent_P: Floats, success_SP: Floats, fitted_3: Floats) -> Floats | None:
    """Half widths of the 95 % intervals: t times the bootstrap standard error over seeds.

    Percentiles of the bootstrap are too narrow at few seeds; so is its standard error, by the factor
    sqrt(n / (n - 1)), which is put right here.
    """
    n, draw = len(success_SP), np.random.default_rng(0)
    mean_RP = np.array([success_SP[draw.integers(0, n, n)].mean(axis=0) for _ in range(RESAMPLED_SEEDS)])
    fitted_R3 = refit(spent_P, mean_RP, fitted_3)
    fitted_R3 = fitted_R3[~np.isnan(fitted_R3).any(axis=1)]
    if len(fitted_R3) < RESAMPLED_SEEDS / 2:
        return None
    error_3 = fitted_R3.std(axis=0, ddof=1) * math.sqrt(n / (n - 1))
    return np.asarray(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error_3, dtype=float)


def curves(spent_P: Floats, start_R: Floats, fitted_R3: Floats) -> tuple[Floats, Floats]:
    """The curves (R x P) of these parameters, and their derivatives by each of them (R x P x 3)."""
    asymptote, exponent, half = (fitted_R3[:, [i]] for i in range(3))
    with np.errstate(divide="ignore"):
        power_RP = np.minimum(np.exp(exponent) * (half - np.log(spent_P)), 700.0)
    share_RP = 1 / (1 + np.exp(power_RP))
    rise_RP = asymptote - start_R[:, None]
    slope_RP = -rise_RP * share_RP * (1 - share_RP)
    by_RP3 = np.stack([share_RP, slope_RP * power_RP, slope_RP * np.exp(exponent)], axis=-1)
    return start_R[:, None] + rise_RP * share_RP, by_RP3


def fit(spent_P: Floats, mean_P: Floats) -> Floats | None:
    """Asymptote, log exponent and log half by bounded least squares; None if it does not converge.

    The start is held at the curve's first point.
    """
    start_1 = mean_P[:1]
    guess = [min(1.0, max(float(mean_P[-1]), start_1[0] + 1e-3)), math.log(2.0), math.log(0.3)]

    def curve(_: Floats, *fitted: float) -> Floats:
        return curves(spent_P, start_1, np.array([fitted]))[0].ravel()

    try:
        fitted = optimize.curve_fit(curve, spent_P, mean_P, p0=guess, bounds=BOUNDS)[0]
    except RuntimeError:
        return None
    return np.asarray(fitted, dtype=float)


def refit(spent_P: Floats, mean_RP: Floats, from_3: Floats) -> Floats:
    """`fit` of many curves at once from one start (R x 3); NaN if it does not converge.

    Levenberg-Marquardt inside the bounds: a parameter that is pushed against one is held there. Thousands of
    calls of scipy's, one a curve, took most of a large report's time.
    """
    low_3, high_3 = np.asarray(BOUNDS)
    start_R = mean_RP[:, 0]
    fitted_R3 = np.tile(np.clip(from_3, low_3, high_3), (len(mean_RP), 1))
    damping_R, converged_R = np.full(len(mean_RP), 1e-3), np.zeros(len(mean_RP), dtype=bool)
    found_RP, by_RP3 = curves(spent_P, start_R, fitted_R3)
    loss_R = ((mean_RP - found_RP) ** 2).sum(axis=1)
    for _ in range(REFIT_STEPS):
        gradient_R3 = np.einsum("rpi,rp->ri", by_RP3, mean_RP - found_RP)
        held_R3 = ((fitted_R3 <= low_3) & (gradient_R3 < 0)) | ((fitted_R3 >= high_3) & (gradient_R3 > 0))
        free_R3 = np.where(held_R3, 0.0, 1.0)
        normal_R33 = np.einsum("rpi,rpj->rij", by_RP3, by_RP3) * free_R3[:, :, None] * free_R3[:, None, :]
        diagonal_R3 = np.einsum("rii->ri", normal_R33)
        diagonal_R3 += damping_R[:, None] * diagonal_R3 + 1e-12 + held_R3
        step_R3 = np.linalg.solve(normal_R33, (gradient_R3 * free_R3)[..., None])[..., 0]
        tried_R3 = np.clip(fitted_R3 + step_R3, low_3, high_3)
        tried_RP, tried_by_RP3 = curves(spent_P, start_R, tried_R3)
        tried_R = ((mean_RP - tried_RP) ** 2).sum(axis=1)
        better_R = tried_R <= loss_R
        converged_R |= better_R & (loss_R - tried_R <= 1e-10 * loss_R)
        fitted_R3[better_R], found_RP[better_R] = tried_R3[better_R], tried_RP[better_R]
        by_RP3[better_R], loss_R[better_R] = tried_by_RP3[better_R], tried_R[better_R]
        damping_R = np.clip(np.where(better_R, damping_R / 5, damping_R * 5), 1e-9, 1e9)
        if converged_R.all():
            break
    return np.where(converged_R[:, None], fitted_R3, np.nan)


def no_scaling(n: int, reason: str) -> Scaling:
    """No numbers, and why."""
    unknown = Interval(math.nan, math.nan, math.nan, n)
    return Scaling(unknown, unknown, unknown, reason)
