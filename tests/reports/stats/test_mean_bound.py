"""The bound on a mean against Clopper-Pearson, closed forms and the definition by random weights."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats
from reports.stats.mean_bound import weighted_mean_cdf


@pytest.mark.parametrize("n", [1, 3, 6, 12, 24])
def test_laws_of_two_values_are_clopper_pearsons(n):
    """Values -1 (k times) and d: the limit of the share of d is Clopper-Pearson's, moved to -1 ... d."""
    for k in range(n):
        for high in (0.02, 0.3, 1.0):
            values = [-1.0] * k + [high] * (n - k)
            share = scipy_stats.beta.ppf(0.05, n - k, k + 1)
            assert stats.lower_bound(values, 0.05) == pytest.approx(-1 + share * (1 + high), abs=1e-7)
            p = scipy_stats.beta.cdf(1 / (1 + high), n - k, k + 1)
            assert stats.not_above_p(values) == pytest.approx(p, abs=1e-12)


def test_without_noise_it_is_a_power():
    """n equal differences d: the worst seed has a weight of d / (1 + d) or more with chance (1 + d)^-n."""
    for n, d in ((6, 0.7), (12, 0.3), (24, 0.13)):
        assert stats.not_above_p([d] * n) == pytest.approx((1 + d) ** -n)
    assert stats.outlook(12).least_mean == pytest.approx(0.05 ** (-1 / 12) - 1)
    least = stats.outlook(12).least_mean
    assert stats.not_above_p([least * 1.001] * 12) < 0.05 < stats.not_above_p([least * 0.999] * 12)


@pytest.mark.parametrize("n", [2, 7, 15])
def test_is_the_bayesian_bootstrap_with_one_worst_value(n):
    draw = np.random.default_rng(n)
    values = np.round(draw.normal(0.1, 0.3, n), 2).clip(-1, 1)
    weights = draw.dirichlet(np.ones(n + 1), 200_000)
    means = weights @ np.append(-1.0, values)
    for bound in (-0.4, 0.0, 0.1):
        share = np.mean(means <= bound)
        error = max(1e-4, float(np.sqrt(share * (1 - share) / 200_000)))
        assert stats.not_above_p(values, bound) == pytest.approx(share, abs=4 * error)


def test_equal_and_nearly_equal_values_are_no_obstacle():
    near = [0.1, 0.1 + 1e-15, 0.1 - 1e-15, 0.1, 0.2, 0.2]
    assert stats.not_above_p(near) == pytest.approx(float(stats.not_above_p([0.1] * 4 + [0.2] * 2)), abs=1e-9)
    assert stats.not_above_p([0.0] * 30) == 1.0
    assert stats.not_above_p([-1.0] * 5) == 1.0
    assert float(stats.not_above_p([1.0] * 500)) == pytest.approx(0.0, abs=1e-100)
    assert weighted_mean_cdf([0.3, 0.1, 0.2], 0.3) == 1.0
    assert weighted_mean_cdf([0.3, 0.1, 0.2], 0.05) == 0.0


def test_many_samples_at_once_are_each_alone():
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 3, 9))
    together = stats.not_above_p(samples, -0.3)
    for place in np.ndindex(4, 3):
        assert together[place] == stats.not_above_p(samples[place], -0.3)


def test_the_bound_is_where_p_crosses_the_level():
    values = np.random.default_rng(1).normal(0.4, 0.1, 14)
    bound = stats.lower_bound(values, 0.05)
    assert stats.not_above_p(values, bound) == pytest.approx(0.05, abs=1e-6)
    assert -1 < bound < values.mean()
    assert stats.lower_bound([], 0.05) == stats.lower_bound([-1.0, -1.0], 0.05) == -1.0


def test_more_good_seeds_never_weaken_it():
    values = np.random.default_rng(2).normal(0.2, 0.1, 8)
    assert stats.not_above_p([*values, 0.9]) < stats.not_above_p(values)
    assert stats.not_above_p(values + 0.05) < stats.not_above_p(values)
