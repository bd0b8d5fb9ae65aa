"""Intervals against scipy, statsmodels, hand-worked numbers and rliable's definitions."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.proportion import proportion_confint

from reports import stats
from tests.reports.stats import RLIABLE_X, RLIABLE_Y, SIX


def bounds(interval: stats.Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def test_t_interval_is_scipys():
    low, high = scipy_stats.t.interval(0.95, 5, np.mean(SIX), scipy_stats.sem(SIX))
    assert bounds(stats.t_interval(SIX)) == pytest.approx((0.05, low, high))
    assert stats.t_interval([*SIX, math.nan]) == stats.t_interval(SIX), "a run that was not made is left out"
    assert math.isnan(stats.t_interval([0.3]).low)
    assert stats.t_interval([]).n == 0


def test_rates_stay_rates():
    assert bounds(stats.rate_interval([0.0, 0.9]))[1:] == (0.0, 1.0)
    assert math.isnan(stats.rate_interval([0.3]).high)


def test_iqm_is_rliables():
    """rliable 1.2.0, metrics.aggregate_iqm of both tables (arch 7.2, pandas 2.3, numpy 2.4)."""
    assert stats.iqm(RLIABLE_X) == pytest.approx(0.6375)
    assert stats.iqm(RLIABLE_Y) == pytest.approx(0.45625)
    assert math.isnan(stats.iqm([]))


def test_iqm_interval_by_hand():
    """Eight runs, two cut at each end: 3, 4, 5, 7 are kept.

    Mean 19/4 = 4.75. Winsorised: 3 3 3 4 5 7 7 7, mean 39/8 = 4.875, sum of squares 215 - 39^2/8 = 24.875.
    Squared error 24.875 / (4 x 3) = 2.07292, error 1.43976; t(.975, 3) = 3.18245, half width 4.58197.
    """
    assert bounds(stats.iqm_interval([7, 1, 4, 30, 3, 9, 2, 5])) == pytest.approx(
        (4.75, 0.16803, 9.33197), abs=1e-4
    )
    uncut = [1.0, 2.0, 4.0]
    assert bounds(stats.iqm_interval(uncut)) == pytest.approx(bounds(stats.t_interval(uncut)))


@pytest.mark.parametrize(("n", "rank"), [(6, 1), (9, 2), (12, 3), (20, 6)])
def test_median_interval_is_the_tabled_order_statistics(n, rank):
    """Ranks of the sign test's 95 % interval, e.g. Conover, Practical Nonparametric Statistics, 3.1."""
    values = np.random.default_rng(n).permutation(np.arange(1.0, n + 1))
    assert bounds(stats.median_interval(values)) == ((n + 1) / 2, rank, n + 1 - rank)
    assert math.isnan(stats.median_interval(values[:5]).low)


@pytest.mark.parametrize(("count", "n"), [(0, 10), (3, 10), (10, 10), (1, 6)])
def test_share_interval_is_clopper_pearsons(count, n):
    assert bounds(stats.share_interval(count, n)) == pytest.approx(
        (count / n, *proportion_confint(count, n, method="beta"))
    )
    assert math.isnan(stats.share_interval(0, 0).estimate)


def test_a_seed_is_one_number_over_environments():
    by_seed = stats.over_environments([[0.2, 0.4], [0.6, math.nan], [1.0, 0.0]])
    np.testing.assert_allclose(by_seed, [0.3, math.nan, 0.5])
