"""Wins, losses and the sign test against enumeration and scipy; sides of several arms are treated alike."""

from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats
from reports.stats.sign_test import fewest_seeds, more_wins_p


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 12])
def test_is_the_enumeration_of_all_coin_tosses(n):
    heads = np.array([sum(tosses) for tosses in product((0, 1), repeat=n)])
    for wins in range(n + 1):
        assert more_wins_p(wins, n - wins) == pytest.approx(np.mean(heads >= wins), abs=1e-12)
        two_sided = np.mean(np.abs(2 * heads - n) >= abs(2 * wins - n))
        assert stats.sign_test_p(wins, n - wins) == pytest.approx(two_sided, abs=1e-12)
        assert stats.sign_test_p(wins, n - wins) == pytest.approx(scipy_stats.binomtest(wins, n).pvalue)
    assert stats.sign_test_p(0, 0) == 1.0


@pytest.mark.parametrize(
    ("comparisons", "wins"),
    # By hand: 8 of 9 have p = 2 x 10 / 512 = .039; 8 of 10 have .109, 9 of 10 2 x 11 / 1024 = .021.
    [(1, {5: 6, 6: 6, 9: 8, 10: 9, 12: 10}), (2, {6: 7, 7: 7, 9: 9, 10: 9}), (9, {8: 9, 9: 9, 13: 12})],
)
def test_wins_needed(comparisons, wins):
    for seeds, needed in wins.items():
        assert stats.wins_needed(seeds, 0.05 / comparisons) == needed
        if needed <= seeds:
            assert scipy_stats.binomtest(needed, seeds).pvalue <= 0.05 / comparisons
        assert scipy_stats.binomtest(needed - 1, seeds).pvalue > 0.05 / comparisons


def test_the_fewest_seeds_are_a_power_of_two():
    for level, fewest in ((0.05, 5), (0.025, 6), (0.0125, 7), (1 / 64, 6), (0.05 / 18, 9)):
        assert fewest_seeds(level) == fewest
        assert 2.0**-fewest <= level < 2.0 ** (1 - fewest)


def test_one_arm_against_another_is_the_sign_of_the_difference():
    left, right = np.array([[0.5], [0.95], [0.2]]), np.array([[0.4], [0.95], [0.3]])
    assert stats.votes(left, right).tolist() == [1, 0, -1]
    assert stats.votes(left, right, 0.1).tolist() == [1, 1, 0], "0.2 + 0.1 is 0.3"
    assert stats.won_and_lost([1, 0, -1, 1]) == (2, 1)


def test_differences_of_rates_are_not_decided_by_rounding():
    assert 0.95 - 0.90 != 0.05, "as floating point has it"
    assert stats.rounded(0.95 - 0.90) == 0.05
    assert stats.votes([[0.95]], [[0.90]], -0.05).tolist() == [0]
    thirds = np.array([[5 / 96 + 1 / 3 - 1 / 3]])
    assert stats.votes(thirds, [[5 / 96]]).tolist() == [0]


@pytest.mark.parametrize(("left", "right"), [(3, 1), (5, 1), (3, 2), (4, 2)])
def test_exchangeable_arms_win_as_often_as_they_lose(left, right):
    """All ways to deal out skewed scores to the two sides. The sides' means are not ahead equally often."""
    scores = [0.1, 0.7, 0.72, 0.75, 0.8, 0.83][: left + right]
    dealt = np.array(sorted(set(permutations(scores))))
    voted = stats.votes(dealt[:, :left], dealt[:, left:])
    assert (voted > 0).sum() == (voted < 0).sum()
    if right == 1:
        means = np.sign(np.round(dealt[:, :left].mean(axis=1) - dealt[:, left:].mean(axis=1), 12))
        assert (means > 0).sum() != (means < 0).sum()


def test_a_seed_is_won_by_most_meetings():
    """Left .5, .6, .9 against right .55, .7: 0 + 1 + 2 meetings won of six."""
    assert stats.votes([[0.5, 0.6, 0.9]], [[0.55, 0.7]]).tolist() == [0]
    assert stats.votes([[0.56, 0.6, 0.9]], [[0.55, 0.7]]).tolist() == [1]
