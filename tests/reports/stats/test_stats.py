"""Statistics against scipy and a hand-worked example."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats

SIX = [0.10, 0.04, 0.07, -0.01, 0.06, 0.04]
"""Mean .05; only the fourth seed disagrees."""


def test_t_interval_is_scipys():
    interval = stats.t_interval(SIX)
    low, high = scipy_stats.t.interval(0.95, 5, np.mean(SIX), scipy_stats.sem(SIX))
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((0.05, low, high))
    assert math.isnan(stats.t_interval([0.3]).low)
    assert stats.t_interval([]).n == 0


def test_rates_stay_rates():
    assert (stats.rate_interval([0.0, 0.9]).low, stats.rate_interval([0.0, 0.9]).high) == (0.0, 1.0)
    assert math.isnan(stats.rate_interval([0.3]).high)


def test_sign_flip_by_hand_and_by_scipy():
    """Of 64 patterns, |sum| >= .30 for: all as they are, the fourth flipped, and their mirrors."""
    assert stats.sign_flip_p(SIX) == pytest.approx(4 / 64)
    rng = np.random.default_rng(0)
    for n in (3, 8, 11):
        differences = rng.normal(0.3, 1, n)
        exact = scipy_stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert stats.sign_flip_p(differences) == pytest.approx(exact.pvalue)


def test_what_few_seeds_can_show():
    assert stats.sign_flip_p([1, 1, 1, 1, 1]) == stats.smallest_p(5) == pytest.approx(0.0625)
    assert stats.seeds_needed(1) == 6
    assert stats.seeds_needed(15) == 10


def test_holm_by_hand():
    """.01 x 3, then max(.03, .02 x 2), then max(.04, .04 x 1)."""
    np.testing.assert_allclose(stats.holm([0.04, 0.01, 0.02]), [0.04, 0.03, 0.04])


def test_a_null_is_rarely_called_and_never_called_equal():
    rng = np.random.default_rng(1)
    called = [stats.verdict(d.mean(), stats.sign_flip_p(d)) for d in rng.normal(0, 1, (400, 8))]
    assert set(called) <= {"better", "worse", "undecided"}
    assert np.mean([verdict != "undecided" for verdict in called]) <= 0.08


def test_area_under_a_straight_line():
    assert stats.area([0, 0.5, 1.02], [0, 0.5, 1.02]) == pytest.approx(0.5)
    assert math.isnan(stats.area([0, 0.5], [0, 0.5])), "a run that did not spend its budget has no area"
