"""Verdicts: the hand-worked six seeds, each word, and that a large p never says equal."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats
from tests.reports.stats import SIX


def test_six_seeds_by_hand():
    """p = 4 / 64: undecided. At six seeds all must agree to reach .05, with chance Phi(d)^6 = .8 at d = 1.79.

    So these seeds, whose SD is .036878, find .066 (the simulated power is good to 2 %). An effect of .05 is
    1.356 SDs, which six seeds find with chance .58 and seven with .81 (20,000 samples each).
    """
    (found,) = stats.verdicts({"gigpo - ppo": SIX}).values()
    assert (found.statement, found.p_adjusted) == ("undecided", 0.0625)
    assert found.pair == stats.paired(SIX)
    exact = 0.036878 * scipy_stats.norm.ppf(0.8 ** (1 / 6))
    assert found.detectable == pytest.approx(exact, rel=0.02)
    assert (found.seeds_more, found.settles) == (1, 0.05)
    (wide,) = stats.verdicts({"gigpo - ppo": SIX}, sesoi=0.2).values()
    assert (wide.statement, wide.p_equivalence) == ("equivalent", 1 / 64)


def test_each_word():
    draw = np.random.default_rng(0)
    family = {
        "up": 0.3 + draw.normal(0, 0.05, 12),
        "down": -0.3 + draw.normal(0, 0.05, 12),
        "same": draw.normal(0, 0.01, 12),
        "small but real": 0.02 + draw.normal(0, 0.003, 12),
        "noise": draw.normal(0, 0.3, 12),
        "not run": [math.nan] * 12,
    }
    found = stats.verdicts(family)
    assert {name: each.statement for name, each in found.items()} == {
        "up": "better",
        "down": "worse",
        "same": "equivalent",
        "small but real": "equivalent",
        "noise": "undecided",
        "not run": "undecided",
    }
    assert found["small but real"].p_adjusted <= 0.05, "the numbers still tell that it is real"
    missing = found["not run"]
    assert (missing.pair.seeds, missing.seeds_more, math.isnan(missing.detectable)) == (0, None, True)


def test_without_a_sesoi_it_is_holm_and_never_equivalent():
    draws = np.random.default_rng(1).normal(0.4, 1, (5, 10))
    family = dict(enumerate(draws))
    found = stats.verdicts(family, sesoi=None)
    np.testing.assert_allclose(
        [each.p_adjusted for each in found.values()], stats.holm([stats.sign_flip_p(d) for d in draws])
    )
    assert all(math.isnan(each.p_equivalence) for each in found.values())
    (same,) = stats.verdicts({"same": [0.0] * 20}, sesoi=None).values()
    assert same.statement == "undecided"


def test_more_seeds_help_until_they_suffice():
    draw = np.random.default_rng(2).normal(0, 0.2, 40)
    more = [stats.verdicts({0: draw[:n]})[0].seeds_more for n in (10, 20, 40)]
    spread = draw[:10].std(ddof=1)
    assert more[0] == stats.seeds_for(spread, stats.SESOI) - 10
    assert stats.verdicts({0: draw[:10] / 100})[0].seeds_more == 0
    assert stats.verdicts({0: draw[:10] * 100})[0].seeds_more is None, "more than are counted"


def test_what_is_detectable_depends_on_the_spread_alone():
    draw = np.random.default_rng(3).normal(0, 0.1, 10)
    assert stats.detectable(draw) == pytest.approx(stats.detectable(draw + 5))
    # d_z for 80 % at 10 pairs: 1.0 SD, as the t-test's 0.996.
    assert stats.detectable(draw) == pytest.approx(0.996 * draw.std(ddof=1), rel=0.03)
    assert math.isinf(stats.detectable(draw[:5]))
    assert math.isinf(stats.detectable(draw[:9], comparisons=15))


def test_an_empty_family():
    assert stats.verdicts({}) == {}
