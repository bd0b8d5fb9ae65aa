"""Verdicts: the hand-worked six seeds, each word, failed runs, and that a large p never says equal."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats
from reports.stats import Word
from tests.reports.stats import SIX


def gaps(differences) -> stats.Sides:
    """An arm at the differences plus a half against one at a half."""
    return stats.two_arms(np.asarray(differences) + 0.5, np.full(len(differences), 0.5))


def only(sides: stats.Sides, **options) -> stats.Verdict:
    (found,) = stats.verdicts({"a - b": sides}, **options).values()
    return found


def test_six_seeds_by_hand():
    """Five of six won: 14 of 64 patterns have as many of one sign, so nothing is said.

    Moved up by .05 all six are above 0 (1 / 64); moved down some are, and those count against likeness. All
    of six seeds must be won for a verdict, with chance Phi(d)^6 = .8 at d = 1.79.
    """
    found = only(gaps(SIX))
    assert (found.word, found.wins, found.losses, found.p) == (Word.undecided, 5, 1, 14 / 64)
    assert found.pair.difference == stats.paired(SIX).difference
    up, down = (sum(d + c > 1e-9 for d in SIX) for c in (0.05, -0.05))
    assert up == 6
    below = 6 - down - sum(abs(d - 0.05) < 1e-9 for d in SIX)
    inside = scipy_stats.binomtest(below, down + below, alternative="greater").pvalue
    assert found.p_alike == pytest.approx(max(1 / 64, inside))
    exact = found.pair.sd * scipy_stats.norm.ppf(0.8 ** (1 / 6))
    assert found.outlook.detectable == pytest.approx(exact)
    wide = only(gaps(SIX), sesoi=0.2)
    assert (wide.word, wide.p_alike) == (Word.usually_alike, 1 / 64)


def test_each_word():
    draw = np.random.default_rng(0)
    family = {
        "far up": 0.45 + draw.normal(0, 0.01, 16),
        "far down": -0.45 + draw.normal(0, 0.01, 16),
        "up": 0.1 + draw.normal(0, 0.03, 16),
        "down": -0.1 + draw.normal(0, 0.03, 16),
        "same": draw.normal(0, 0.01, 16),
        "small but real": 0.02 + draw.normal(0, 0.003, 16),
        "noise": draw.normal(0, 0.3, 16),
        "not run": [],
    }
    found = stats.verdicts({name: gaps(each) for name, each in family.items()})
    assert {name: each.word.value for name, each in found.items()} == {
        "far up": "better",
        "far down": "worse",
        "up": "usually better",
        "down": "usually worse",
        "same": "usually alike",
        "small but real": "usually alike",
        "noise": "undecided",
        "not run": "undecided",
    }
    assert found["small but real"].p_usually <= 0.05, "the numbers still tell that it is real"
    assert found["far up"].at_least > 0 > found["up"].at_least
    assert found["far down"].at_most < 0
    missing = found["not run"]
    assert (missing.pair.seeds, missing.outlook.spread_known, math.isnan(missing.p)) == (0, False, True)


def test_words_know_their_grade_and_direction():
    assert {word.value: (word.grade, word.direction) for word in Word} == {
        "better": ("on average", 1),
        "worse": ("on average", -1),
        "equivalent": ("on average", 0),
        "usually better": ("usually", 1),
        "usually worse": ("usually", -1),
        "usually alike": ("usually", 0),
        "undecided": ("none", 0),
    }


@pytest.mark.parametrize(("sesoi", "least"), [(0.05, 59), (0.1, 29)])
def test_equivalent_on_average_takes_many_seeds_without_a_collapse(sesoi, least):
    """Each seed might have hidden a collapse of the whole range: (1 - SESOI)^n is the p of n equal seeds."""
    same = {n: only(gaps([0.0] * n), sesoi=sesoi) for n in (least - 1, least)}
    assert [each.word for each in same.values()] == [Word.usually_alike, Word.equivalent]
    assert same[least].p_equivalent == pytest.approx((1 - sesoi) ** least)
    assert same[least].outlook.equivalent == least
    one_lost = np.append(np.zeros(least - 1), -0.7)
    assert only(gaps(one_lost), sesoi=sesoi).word is Word.usually_alike


def test_the_better_grade_is_never_said_without_the_other():
    """Few wins of much: the average is far ahead, most seeds are lost."""
    found = only(gaps([0.5] * 4 + [-0.06] * 20))
    assert found.difference > 0
    assert found.word is Word.usually_worse
    draw = np.random.default_rng(3)
    for _ in range(200):
        left = draw.beta(4, 1, (1, 12, 1))
        usually, alike, better, equivalent = stats.p_values(
            left, draw.beta(2, 1, (1, 12, 1)), np.zeros((1, 12), bool), 0.05
        )
        assert better >= usually
        assert equivalent >= alike


def test_rounding_decides_nothing():
    """A difference of exactly a SESOI on every seed is on the edge: no seed is within it, and none beyond."""
    edge = only(stats.two_arms([0.95] * 5, [0.90] * 5))
    assert (edge.p_alike, edge.word) == (1.0, Word.undecided)
    for moved in (0.05, 1 / 3):
        same = only(stats.two_arms(np.full(7, 5 / 96) + moved - moved, np.full(7, 5 / 96)))
        assert (same.wins, same.losses, same.difference, same.p) == (0, 0, 0.0, 1.0)


def failing(left: int, right: int, of: int, score: float = 0.9) -> stats.Sides:
    """Arms at `score` of which the first runs failed and count 0."""
    broken = [np.arange(of) < failures for failures in (left, right)]
    scores = [np.where(each, 0.0, score)[:, None] for each in broken]
    return stats.Sides(*scores, *broken, *broken)


def test_arms_that_only_failed_are_not_alike():
    for runs in (8, 80):
        found = only(failing(runs, runs, runs))
        assert (found.word, found.p_alike, found.p_equivalent) == (Word.undecided, 1.0, 1.0)
    one = only(failing(1, 1, 9))
    assert one.p_alike == pytest.approx(10 / 2**9), "eight of nine seeds within a SESOI, one against it"
    none_failed = only(failing(0, 0, 9))
    assert none_failed.p_alike == 1 / 2**9


def test_a_verdict_that_rests_on_failed_runs_says_so():
    found = only(failing(0, 8, 8))
    assert (found.word, found.without_failed) == (Word.better, Word.undecided)
    assert found.rests_on_failures
    assert (found.left_failed, found.right_failed, found.collapses.right) == (0, 8, 8)
    better = np.append(np.full(9, 0.6), 0.6)[:, None], np.append(np.full(9, 0.5), 0.0)[:, None]
    last = np.arange(10) == 9
    no = np.zeros(10, dtype=bool)
    sturdy = only(stats.Sides(*better, no, last, no, last))
    assert (sturdy.word, sturdy.rests_on_failures) == (Word.usually_better, False)


def test_collapses_are_a_family_of_their_own():
    """Six seeds on which the right side alone collapsed: p 2 / 64, by two where there are two comparisons."""
    right_S, no = np.arange(12) < 6, np.zeros(12, dtype=bool)
    sides = replace(gaps([0.0] * 12), right_collapsed_S=right_S)
    found = stats.verdicts({"a": sides, "b": replace(sides, right_collapsed_S=no)})
    assert found["a"].p_collapses == pytest.approx(2 * 2 / 64)
    assert found["a"].word is Word.usually_alike
    assert only(sides).p_collapses == pytest.approx(2 / 64)


def test_a_side_of_several_arms_wins_by_meetings():
    left = np.array([[0.9, 0.8, 0.1]] * 7)
    right = np.array([[0.7]] * 7)
    no = np.zeros(7, dtype=bool)
    found = only(stats.Sides(left, right, no, no, no, no))
    assert (found.wins, found.word) == (7, Word.usually_better)
    assert found.difference == pytest.approx(0.6 - 0.7)
    assert found.pair.improvement.estimate == 1.0
    assert math.isnan(found.collapses.p)


def test_without_a_sesoi_it_is_holm_of_sign_tests_and_never_alike():
    draws = np.random.default_rng(1).normal(0.4, 1, (5, 10))
    found = stats.verdicts({k: gaps(each) for k, each in enumerate(draws)}, sesoi=None)
    plain = [scipy_stats.binomtest(int((d > 0).sum()), 10).pvalue for d in draws]
    np.testing.assert_allclose([each.p for each in found.values()], plain)
    np.testing.assert_allclose([each.p_usually for each in found.values()], stats.holm(plain))
    assert all(math.isnan(each.p_alike) for each in found.values())
    assert only(gaps([0.0] * 20), sesoi=None).word is Word.undecided


def test_what_is_detectable_depends_on_the_spread_alone():
    draw = np.random.default_rng(3).normal(0, 0.1, 9)
    assert only(gaps(draw)).outlook.detectable == pytest.approx(only(gaps(draw + 0.2)).outlook.detectable)
    assert math.isinf(only(gaps(draw[:5])).outlook.detectable)


def test_an_empty_family():
    assert stats.verdicts({}) == {}
