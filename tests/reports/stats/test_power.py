"""Power against scipy's noncentral t, closed forms and the report's own test run on simulated sweeps."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats
from reports.stats import power


def t_power(effect: float, seeds: int, comparisons: int) -> float:
    """Power of the two-sided paired t-test in the right direction."""
    critical = scipy_stats.t.isf(0.025 / comparisons, seeds - 1)
    return float(scipy_stats.nct.sf(critical, seeds - 1, effect * math.sqrt(seeds)))


@pytest.mark.parametrize(
    ("seeds", "comparisons", "tolerance"),
    # Monte-Carlo error is below .005. The rest is the tests' true distance: at 10 seeds alpha .05 is coarse
    # (50 of 1024 arrangements), and with 100 comparisons 36 seeds are where 25 are with one.
    [(10, 1, 0.015), (13, 1, 0.01), (16, 1, 0.01), (20, 1, 0.01), (36, 1, 0.01), (36, 100, 0.02)],
)
def test_power_is_the_paired_t_tests_where_the_sign_flip_test_is_fine(seeds, comparisons, tolerance):
    for effect in np.array([0.5, 1, 2, 3, 4, 5]) / math.sqrt(seeds):
        simulated = stats.power_at(effect, seeds, comparisons, 0.05)
        assert simulated == pytest.approx(t_power(effect, seeds, comparisons), abs=tolerance)


@pytest.mark.parametrize(("seeds", "comparisons"), [(6, 1), (10, 15), (14, 351)])
def test_power_in_closed_form_where_all_seeds_must_agree(seeds, comparisons):
    """One arrangement is tolerated there: it rejects where all signs are right, with chance Phi(d)^n."""
    for effect in (1.0, 2.0, 3.0):
        exact = scipy_stats.norm.cdf(effect) ** seeds
        assert stats.power_at(effect, seeds, comparisons, 0.05) == pytest.approx(exact, abs=0.02)
    exact = scipy_stats.norm.ppf(0.8 ** (1 / seeds))
    assert stats.smallest_effects(comparisons, 0.8, 0.05)[seeds] == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    ("seeds", "comparisons", "effect", "sweeps"),
    [(8, 1, 0.0, 3000), (8, 1, 1.3, 3000), (12, 5, 1.1, 3000), (18, 10, 1.0, 40)],
)
def test_power_is_what_the_reports_test_does(seeds, comparisons, effect, sweeps):
    differences = np.random.default_rng([5, seeds]).normal(effect, 1, (sweeps, seeds))
    found = [d.mean() > 0 and stats.sign_flip_p(d) * comparisons <= 0.05 for d in differences]
    expected = stats.power_at(effect, seeds, comparisons, 0.05)
    assert np.mean(found) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / sweeps))


@pytest.mark.parametrize("seeds", [6, 8, 10, 13, 16])
@pytest.mark.parametrize("comparisons", [1, 3, 15])
def test_a_null_is_rejected_at_alpha_at_most(seeds, comparisons):
    """Both directions, at alpha / comparisons; 5 % of it for Monte-Carlo error."""
    rejected = 2 * stats.power_at(0.0, seeds, comparisons, 0.05)
    assert rejected <= 1.05 * 0.05 / comparisons


def test_the_closed_form_is_scipys():
    seeds = np.array([6, 20, 200, 1000])
    critical = scipy_stats.t.isf(0.001, seeds - 1)
    effects = power.t_effect(seeds, critical, 0.8)
    back = scipy_stats.nct.sf(critical, seeds - 1, effects * np.sqrt(seeds))
    assert back == pytest.approx(0.8, abs=1e-6)
    # The textbook's 34 pairs for d_z = .5 at 80 %, two-sided .05 (G*Power's example).
    assert stats.seeds_for(1.0, 0.5, 1) == 34


def test_nothing_moves_the_wrong_way():
    effects = stats.smallest_effects(3, 0.8, 0.05)
    assert (np.diff(effects[np.isfinite(effects)]) <= 0).all()
    at_ten = [stats.power_at(effect, 10, 3, 0.05) for effect in np.linspace(0, 4, 30)]
    assert (np.diff(at_ten) > 0).all()
    assert at_ten[-1] > 0.99
    needed = [stats.seeds_for(0.2, effect, 3) for effect in (0.8, 0.4, 0.2, 0.1, 0.05)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]
    usable = slice(stats.seeds_needed(15), None)
    for easy, hard in (((3, 0.8), (15, 0.8)), ((15, 0.5), (15, 0.8)), ((15, 0.8), (15, 0.95))):
        assert (
            stats.smallest_effects(*easy, 0.05)[usable] <= stats.smallest_effects(*hard, 0.05)[usable]
        ).all()


def test_what_can_never_be_found():
    for comparisons in (1, 2, 15, 105, 351):
        effects = stats.smallest_effects(comparisons, 0.8, 0.05)
        assert np.isinf(effects[[0, 1, 3, 5]]).all()
        assert int(np.argmax(np.isfinite(effects))) == stats.seeds_needed(comparisons)
    assert stats.seeds_for(1e-6, 1.0, 15) == 10
    assert stats.seeds_for(0.0, 1.0, 15) == 10, "arms that never differ in spread"
    assert np.isinf(stats.smallest_effects(6000, 0.8, 0.05)).all(), "100 000 resamples can't reach .05 / 6000"
    assert stats.seeds_for(0.9, 0.01, 15) is None


def test_the_same_numbers_again():
    first = stats.smallest_effects(3, 0.8, 0.05)
    power.smallest_effects.cache_clear()
    power.ladder.cache_clear()
    np.testing.assert_array_equal(stats.smallest_effects(3, 0.8, 0.05), first)


def test_the_range_of_an_sd_is_the_chi_square_tables():
    """Tabled .975 and .025 quantiles: 7.378 and 0.0506 at 2 degrees of freedom, 19.02 and 2.700 at 9."""
    assert stats.sd_factors(3) == pytest.approx((math.sqrt(2 / 7.378), math.sqrt(2 / 0.0506)), rel=1e-3)
    assert stats.sd_factors(10) == pytest.approx((math.sqrt(9 / 19.02), math.sqrt(9 / 2.700)), rel=1e-3)
