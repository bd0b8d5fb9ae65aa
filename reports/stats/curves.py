"""What a whole learning curve says about its run.

Shape suffixes: P points of one curve, S runs.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from reports.stats.intervals import Floats, Interval, share_interval


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


def budget_to_threshold(spent_P: ArrayLike, success_P: ArrayLike, threshold: float) -> float:
    """Share of the budget at which success first reaches `threshold`, linear between evaluations.

    Infinite if it does not within the budget: censored at 1, as is a run that failed before.
    """
    spent, success = np.asarray(spent_P, dtype=float), np.asarray(success_P, dtype=float)
    reached = np.flatnonzero(success >= threshold)
    if len(reached) == 0:
        return math.inf
    i = int(reached[0])
    if i == 0:
        first = float(spent[0])
    else:
        share = (threshold - success[i - 1]) / (success[i] - success[i - 1])
        first = float(spent[i - 1] + share * (spent[i] - spent[i - 1]))
    return first if first <= 1 else math.inf


def collapsed(success_P: ArrayLike) -> bool:
    """Whether a run ends below half of its own best, or below where it started.

    The first value is the start, the last one the final score. A run that learns nothing falls
    below its start by the noise of evaluation about every other time: read the rate together with the curves.
    """
    success = np.asarray(success_P, dtype=float)
    return bool(success[-1] < success.max() / 2 or success[-1] < success[0])


def collapse_rate(collapsed_S: ArrayLike) -> Interval:
    """Share of runs that collapsed, with Clopper-Pearson's interval."""
    flags = np.asarray(collapsed_S, dtype=bool)
    return share_interval(int(flags.sum()), len(flags))
