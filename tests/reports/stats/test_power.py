"""What seeds can decide: against enumeration, the report's verdicts on simulated sweeps, and tables."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats


def enumerated_power(chance: float, seeds: int, level: float) -> float:
    """Chance of a win by a two-sided sign test at `level`: over all outcomes of the seeds."""
    found = 0.0
    for won in product((True, False), repeat=seeds):
        wins = sum(won)
        if 2 * wins > seeds and scipy_stats.binomtest(wins, seeds).pvalue <= level:
            found += chance**wins * (1 - chance) ** (seeds - wins)
    return found


@pytest.mark.parametrize(("seeds", "comparisons"), [(5, 1), (6, 1), (9, 1), (10, 2), (11, 9)])
def test_power_is_the_enumeration_of_wins_and_losses(seeds, comparisons):
    for effect in (0.0, 0.5, 1.0, 2.0):
        chance = float(scipy_stats.norm.cdf(effect))
        exact = enumerated_power(chance, seeds, 0.05 / comparisons)
        assert stats.power_at(effect, seeds, comparisons) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(("seeds", "comparisons", "effect"), [(9, 1, 1.3), (12, 5, 1.1), (20, 2, 0.6)])
def test_power_is_what_the_reports_verdicts_do(seeds, comparisons, effect):
    draws = np.random.default_rng([5, seeds]).normal(effect, 1, (1500, seeds)) / 20
    none = [[0.5] * seeds] * (comparisons - 1)
    family = [stats.two_arms(each, [0.5] * seeds) for each in none]
    found = []
    for gaps in draws:
        sides = dict(enumerate([stats.two_arms(0.5 + gaps, [0.5] * seeds), *family]))
        found.append(stats.verdicts(sides, sesoi=None)[0].word is stats.Word.usually_better)
    expected = stats.power_at(effect, seeds, comparisons)
    assert np.mean(found) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / 1500))


@pytest.mark.parametrize("seeds", [6, 9, 10, 17, 200])
@pytest.mark.parametrize("comparisons", [1, 3, 15])
def test_a_null_is_rejected_at_alpha_at_most(seeds, comparisons):
    assert 2 * stats.power_at(0.0, seeds, comparisons) <= 0.05 / comparisons


def test_the_smallest_effect_is_found_with_the_declared_power():
    effects = stats.smallest_effects(3, 0.8, 0.05)
    for seeds in (7, 11, 40, 1000):
        assert stats.power_at(float(effects[seeds]), seeds, 3) == pytest.approx(0.8, abs=1e-9)
    assert np.isinf(effects[:7]).all()
    assert np.isfinite(effects[7:]).all()


def test_the_sign_test_takes_half_as_many_seeds_again_as_the_t_test_of_normal_differences():
    """Pitman's efficiency is 2 / pi: 34 pairs of the textbook's t-test become 53 at least."""
    needed = stats.seeds_for(1.0, 0.5)
    assert 0.9 * 34 * math.pi / 2 < needed < 1.1 * 34 * math.pi / 2


@pytest.mark.parametrize(
    ("comparisons", "by_effect"),
    [(1, {1.0: 17, 1.4: 9, 2.0: 6}), (2, {1.0: 19, 1.4: 10, 2.0: 7}), (9, {1.0: 25, 1.4: 16, 2.0: 9})],
)
def test_plans_are_the_first_number_that_suffices(comparisons, by_effect):
    for effect, needed in by_effect.items():
        planned = stats.seeds_for(1.0, effect, comparisons)
        assert planned == needed
        assert stats.power_at(effect, int(planned), comparisons) >= 0.8
        fewer = [stats.power_at(effect, n, comparisons) for n in range(int(planned))]
        assert max(fewer) < 0.8


def test_a_few_seeds_more_can_find_less():
    assert stats.power_at(1.0, 10) < stats.power_at(1.0, 9)
    assert stats.power_at(1.0, 8) < stats.power_at(1.0, 6)


@pytest.mark.parametrize("comparisons", [1, 2, 9, 15])
def test_the_fewest_seeds_are_where_a_verdict_becomes_possible(comparisons):
    """By the verdicts themselves: all seeds won by far, or all alike; the rest of the family undecided."""
    seen = stats.outlook(0, comparisons=comparisons)
    for gap, least in ((0.4, seen.usually), (0.0, seen.alike)):
        for seeds in (least - 1, least):
            rest = {k: stats.two_arms([0.5] * 2, [0.5] * 2) for k in range(1, comparisons)}
            sides = {0: stats.two_arms([0.5 + gap] * seeds, [0.5] * seeds), **rest}
            decided = stats.verdicts(sides)[0].word is not stats.Word.undecided
            assert decided == (seeds == least)
    assert seen.usually == math.ceil(math.log2(2 * comparisons / 0.05))
    assert seen.alike == seen.usually - 1


def test_the_outlook_of_a_pilot():
    """Both ends of the SD's range, and its upper limit at 70 %, are planned for."""
    seen = stats.outlook(6, sd=0.1, comparisons=2, effect=0.1)
    low, high = stats.sd_factors(6)
    expected = [stats.seeds_for(0.1 * f, 0.1, 2) for f in (stats.sd_bound(6), low, high)]
    assert [seen.planned, seen.planned_low, seen.planned_high] == expected
    assert seen.planned_low < seen.planned < seen.planned_high
    assert math.isinf(seen.detectable), "six seeds decide nothing among two"
    assert (seen.usually, seen.alike, seen.effect, seen.spread_known) == (7, 6, 0.1, True)


def test_unknown_and_too_many_are_told_apart():
    one = stats.outlook(1)
    assert (one.spread_known, math.isnan(one.planned), math.isnan(one.detectable)) == (False, True, True)
    many = stats.outlook(10, sd=0.9, effect=0.01)
    assert (many.spread_known, math.isinf(many.planned)) == (True, True)
    still = stats.outlook(10, sd=0.0)
    assert (still.planned, still.detectable) == (6.0, 0.0)
    assert math.isinf(stats.outlook(3, sd=0.0).detectable)


def test_nothing_moves_the_wrong_way():
    needed = [stats.seeds_for(0.2, effect, 3) for effect in (0.8, 0.4, 0.2, 0.1, 0.05)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]
    for easy, hard in (((3, 0.8), (15, 0.8)), ((15, 0.5), (15, 0.8)), ((15, 0.8), (15, 0.95))):
        assert (stats.smallest_effects(*easy, 0.05) <= stats.smallest_effects(*hard, 0.05)).all()


def test_the_range_of_an_sd_is_the_chi_square_tables():
    """Tabled .975, .025 and .3 quantiles: 7.378, .0506, .713 at 2 degrees, 19.02, 2.700, 6.393 at 9."""
    assert stats.sd_factors(3) == pytest.approx((math.sqrt(2 / 7.378), math.sqrt(2 / 0.0506)), rel=1e-3)
    assert stats.sd_factors(10) == pytest.approx((math.sqrt(9 / 19.02), math.sqrt(9 / 2.700)), rel=1e-3)
    assert stats.sd_bound(3) == pytest.approx(math.sqrt(2 / 0.713), rel=1e-3)
    assert stats.sd_bound(10) == pytest.approx(math.sqrt(9 / 6.393), rel=1e-3)
