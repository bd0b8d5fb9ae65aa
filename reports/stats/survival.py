"""Budget to a threshold, where some runs never get there.

A budget is a share of the limit; infinite means not reached within it. All censoring is at 1, since a run
that failed counts as one that never arrives (`curves.budget_to_threshold`).

Shape suffixes: S runs, T distinct budgets.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from reports.stats.intervals import CONFIDENCE, Floats, Interval, finite, t_interval


@dataclass(frozen=True)
class Survival:
    """Kaplan-Meier's share of runs still below the threshold, a step function of the budget spent."""

    budget_T: Floats
    below_T: Floats
    low_T: Floats
    high_T: Floats
    """95 % pointwise, log-log with Greenwood's variance; NaN if that is undefined (a share of 0 or 1)."""


def kaplan_meier(budgets_S: ArrayLike) -> Survival:
    """The survival curve of budgets to a threshold. Raises `ValueError` without runs."""
    budgets = finite(budgets_S)
    data = stats.CensoredData.right_censored(np.minimum(budgets, 1.0), budgets > 1)
    curve: Any = stats.ecdf(data).sf
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # if the formula has no interval, NaN says so
        bounds = curve.confidence_interval(CONFIDENCE, method="log-log")
    return Survival(curve.quantiles, curve.probabilities, bounds.low.probabilities, bounds.high.probabilities)


def restricted_mean(budgets_S: ArrayLike) -> Interval:
    """Mean share of the budget spent below the threshold (restricted mean survival time up to the limit).

    The area under Kaplan-Meier's curve; as all censoring is at the limit, that is the mean of min(budget, 1),
    so Student's t over runs holds for it, and `pairs.paired` for the differences of two arms' min(budget, 1).
    """
    return t_interval(np.minimum(finite(budgets_S), 1.0))
