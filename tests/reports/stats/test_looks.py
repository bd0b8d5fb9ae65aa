"""The sign test at several looks: exact by an independent count, right wherever one stops."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from reports import stats
from reports.stats.looks import (
    bounds,
    chance,
    first_look,
    more_wins_p,
    not_above_p,
    sign_test_p,
    stopped,
    wins_to_stop,
)

LOOKS = (6, 9, 12, 18, 24)


def test_the_wins_that_stop_one_comparison():
    """The boundaries and their exact size: 6 of 6, 9 of 9, 11 of 12, 15 of 18, 19 of 24 err in 4.1 %."""
    assert wins_to_stop(0.05, LOOKS) == (6, 9, 11, 15, 19)
    assert 2 * sum(stopped((6, 9, 11, 15, 19), LOOKS, 0.5)) == pytest.approx(0.0414, abs=5e-5)
    assert wins_to_stop(0.025, LOOKS) == (7, 9, 11, 15, 19), "two comparisons: none at the first look"
    assert (first_look(0.05, LOOKS), first_look(0.025, LOOKS), first_look(1e-9, LOOKS)) == (6, 9, 25)


def test_chances_are_those_of_all_sequences():
    """Every sequence of 9 coins, one by one."""
    looks = (4, 6, 9)
    coins = np.array(list(product([-1, 1], repeat=9)))
    p_N = more_wins_p(coins, looks)
    for p in np.unique(p_N):
        assert (p_N <= p).mean() == pytest.approx(p, abs=1e-12)
    needed = bounds(2.0 * binom.sf(3, 4, 0.5), looks)
    wins = coins[:, :4].sum(1) == 4
    assert stopped(needed, looks, 0.5)[0] == pytest.approx(wins.mean())


def test_what_was_seen_is_no_surer_than_its_level_wherever_one_stops():
    """Exactly: the chance ever to see a p of `a` or less is `a` at most; a reader may stop at the first."""
    coins = np.array(list(product([-1, 1], repeat=12)))
    looks = (6, 9, 12)
    smallest = np.min([sign_test_p(coins[:, :look], looks) for look in looks], axis=0)
    for level in (0.2, 0.1, 0.05, 0.025):
        assert (smallest <= level).mean() <= level
    # The plain test does not hold its level at several looks.
    plain = np.min([stats.sign_test_p(*stats.won_and_lost(coins[:, :look])) for look in looks], axis=0)
    assert (plain <= 0.05).mean() > 0.06


def test_ties_and_a_lead_that_is_lost():
    assert more_wins_p([1, 1, 1, 1, 1, 0], LOOKS) == more_wins_p([1, 1, 1, 1, 1, -1], LOOKS)
    assert more_wins_p([1, 1, 1, 1, 1], LOOKS) == 1, "before the first look nothing is known"
    won = [1] * 6
    assert sign_test_p(won, LOOKS) == pytest.approx(0.0414, abs=5e-5)
    assert sign_test_p([*won, *[-1] * 6], LOOKS) == 1, "nobody is ahead"
    assert sign_test_p([*won, *[-1] * 12], LOOKS) > 0.05, "what the other side had won is not its own"


def test_the_mean_is_bounded_at_every_look():
    differences = np.full(12, 0.5)
    expected = 5 * min(stats.not_above_p(differences[:n], 0.1) for n in (6, 9, 12))
    assert not_above_p(differences, LOOKS, 0.1) == pytest.approx(expected)
    assert not_above_p(differences[:5], LOOKS) == 1


@pytest.mark.parametrize("comparisons", [1, 3])
def test_a_familys_false_statements_are_rare(comparisons):
    """Equal arms that share a side, a reader who looks each time: the first step's p, over the family."""
    draws = np.random.default_rng(1).normal(0.5, 0.1, size=(4000, comparisons + 1, 24))
    votes = np.sign(draws[:, :1] - draws[:, 1:])
    p = np.stack([sign_test_p(votes[..., :look], LOOKS) for look in LOOKS])
    wrong = (comparisons * p.min(axis=(0, 2)) <= 0.05).mean()
    assert 0.005 < wrong < 0.05 + 2 * (0.05 * 0.95 / len(draws)) ** 0.5


def test_verdicts_use_the_looks():
    """Six wins of six decide one comparison, and none of three."""
    scores = np.linspace(0.5, 0.6, 6)
    family = {k: stats.two_arms(scores + 0.2, scores) for k in range(3)}
    words = {each.word for each in stats.verdicts({0: family[0]}).values()}
    assert words == {stats.Word.usually_better}
    assert {each.word for each in stats.verdicts({0: family[0]}, looks=LOOKS).values()} == words
    found = stats.verdicts(family, looks=LOOKS).values()
    assert {each.word for each in found} == {stats.Word.undecided}
    assert {each.outlook.usually for each in found} == {9}


def test_chance_counts_everything_that_is_as_small():
    assert chance(np.inf, LOOKS) == pytest.approx(1)
    assert chance(0.0, LOOKS) == 0
