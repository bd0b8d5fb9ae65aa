"""Whole-curve numbers: areas, thresholds with censoring, collapses, survival."""

import math

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from reports import stats


def test_area_under_a_straight_line():
    assert stats.area([0, 0.5, 1.02], [0, 0.5, 1.02]) == pytest.approx(0.5)
    assert math.isnan(stats.area([0, 0.5], [0, 0.5])), "a run that did not spend its budget has no area"


@pytest.mark.parametrize(
    ("spent", "success", "expected"),
    [
        ([0, 0.5, 1], [0, 0.5, 1], 0.6),
        ([0, 0.5, 1], [0.7, 0.5, 1], 0.0),
        ([0, 0.5, 1], [0.1, 0.6, 0.2], 0.5),
        ([0, 0.5, 1], [0, 0.1, 0.3], math.inf),
        ([0, 0.9, 1.1], [0, 0.2, 0.4], math.inf),
        ([0, 0.3], [0.1, 0.2], math.inf),
        ([0, 0.4, 0.8], [0.2, 0.2, 1.0], 0.6),
    ],
)
def test_budget_to_a_threshold_of_60_percent(spent, success, expected):
    """On the line between evaluations; reached beyond the limit, or never, or broken off: infinite."""
    assert stats.budget_to_threshold(spent, success, 0.6) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("success", "expected"),
    [([0.1, 0.9, 0.5], False), ([0.1, 0.9, 0.4], True), ([0.3, 0.4, 0.29], True), ([0.0, 0.0], False)],
)
def test_what_a_collapse_is(success, expected):
    assert stats.collapsed(success) is expected


def test_collapse_rate_is_clopper_pearsons():
    """3 of 20: .0321 to .3789 in the tables."""
    rate = stats.collapse_rate([True] * 3 + [False] * 17)
    assert (rate.estimate, rate.low, rate.high) == pytest.approx((0.15, 0.0321, 0.3789), abs=1e-4)


def test_kaplan_meier_is_statsmodels():
    budgets = [0.3, 0.5, math.inf, 0.5, 0.9, math.inf, 1.0]
    found = stats.kaplan_meier(budgets)
    reached = np.isfinite(budgets)
    theirs = SurvfuncRight(np.minimum(budgets, 1.0), reached)
    np.testing.assert_allclose(found.budget_T, theirs.surv_times)
    np.testing.assert_allclose(found.below_T, theirs.surv_prob)
    inside = (found.below_T > 0) & (found.below_T < 1)
    # Greenwood's error on the log-log scale, from statsmodels' own error of the survival function.
    log = np.log(theirs.surv_prob[inside])
    error = theirs.surv_prob_se[inside] / np.abs(theirs.surv_prob[inside] * log)
    np.testing.assert_allclose(found.low_T[inside], np.exp(log * np.exp(1.959964 * error)), rtol=1e-5)
    np.testing.assert_allclose(found.high_T[inside], np.exp(log * np.exp(-1.959964 * error)), rtol=1e-5)


def test_the_restricted_mean_is_the_area_under_kaplan_meier():
    budgets = [0.2, 0.35, math.inf, 0.35, 0.8, math.inf]
    curve = stats.kaplan_meier(budgets)
    edges = np.concatenate([[0], np.minimum(curve.budget_T, 1.0)])
    steps = np.diff(edges) * np.concatenate([[1], curve.below_T[:-1]])
    assert stats.restricted_mean(budgets).estimate == pytest.approx(steps.sum())
    assert stats.restricted_mean([math.inf] * 4).estimate == 1.0
