"""Paired effects against a hand-worked example, scipy's noncentral t and rliable's definition."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats
from tests.reports.stats import RLIABLE_X, RLIABLE_Y, SIX


def test_six_seeds_by_hand():
    """Deviations .05 -.01 .02 -.06 .01 -.01, squares add to .0068, variance .0068 / 5 = .00136, SD .036878.

    Standard error .036878 / sqrt 6 = .015055; t(.975, 5) = 2.570582: .05 +- .038701. d_z = .05 / .036878 =
    1.355815. Hedges: gamma(2.5) / (sqrt 2.5 gamma(2)) = 1.329340 / 1.581139 = .840749, so 1.139900. Five of
    six seeds agree: Clopper-Pearson .358765 to .995789. p = 4 / 64.
    """
    pair = stats.paired(SIX)
    assert pair.difference.estimate == pytest.approx(0.05)
    assert (pair.difference.low, pair.difference.high) == pytest.approx((0.011299, 0.088701), abs=2e-6)
    assert pair.sd == pytest.approx(0.036878, abs=1e-6)
    assert pair.standardised.estimate == pytest.approx(1.139900, abs=2e-6)
    improvement = pair.improvement
    assert (improvement.estimate, improvement.low, improvement.high) == pytest.approx(
        (5 / 6, 0.358765, 0.995789), abs=1e-6
    )
    assert (pair.p, pair.seeds) == (0.0625, 6)


@pytest.mark.parametrize("n", [3, 6, 20, 100])
def test_the_effects_interval_inverts_the_noncentral_t(n):
    differences = np.random.default_rng(n).normal(0.4, 1, n)
    found = stats.standardised(differences)
    t = scipy_stats.ttest_1samp(differences, 0).statistic
    assert scipy_stats.nct.cdf(t, n - 1, found.low * math.sqrt(n)) == pytest.approx(0.975, abs=1e-6)
    assert scipy_stats.nct.cdf(t, n - 1, found.high * math.sqrt(n)) == pytest.approx(0.025, abs=1e-6)


def test_hedges_factor_takes_the_bias_away():
    draws = np.random.default_rng(0).normal(0.8, 1, (20_000, 5))
    raw = draws.mean(axis=1) / draws.std(axis=1, ddof=1)
    corrected = [stats.standardised(row).estimate for row in draws[:4000]]
    assert raw.mean() > 0.95
    assert np.mean(corrected) == pytest.approx(0.8, abs=0.04)


def test_what_has_no_effect_size():
    for differences in ([], [0.1], [0.1, 0.2], [0.3 - 0.2, 0.4 - 0.3, 0.1], [0.0] * 6):
        assert math.isnan(stats.standardised(differences).estimate)
    empty = stats.paired([math.nan])
    assert (empty.seeds, math.isnan(empty.p), math.isnan(empty.improvement.estimate)) == (0, True, True)


def test_a_tie_counts_half_and_widens_the_interval():
    tied = stats.paired_improvement([0.1, 0.2, 0.0, -0.1])
    assert tied.estimate == 0.625
    assert tied.low == stats.share_interval(2, 4).low
    assert tied.high == stats.share_interval(3, 4).high


def test_unpaired_improvement_is_rliables_and_mann_whitneys():
    """rliable 1.2.0, metrics.probability_of_improvement(X, Y): the mean over environments, .6275510204."""
    x, y = np.array(RLIABLE_X), np.array(RLIABLE_Y)
    by_environment = [stats.probability_of_improvement(x[:, e], y[:, e]) for e in range(2)]
    assert np.mean(by_environment) == pytest.approx(0.6275510204081634)
    u = scipy_stats.mannwhitneyu(x[:, 1], y[:, 1]).statistic
    assert by_environment[1] == pytest.approx(u / 49)
    assert math.isnan(stats.probability_of_improvement([], [0.1]))
