"""The sign-flip test against enumeration, scipy and hand-worked counts."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats
from reports.stats.sign_flip import resampled_tails
from tests.reports.stats import SIX


def enumerated(differences: np.ndarray) -> np.ndarray:
    """Sums under all sign arrangements, one product a row."""
    return np.array(list(product([1, -1], repeat=len(differences)))) @ differences


def test_by_hand():
    """Of 64 patterns, |sum| >= .30 for: all as they are, the fourth flipped, and their mirrors."""
    assert stats.sign_flip_p(SIX) == 4 / 64
    assert stats.sign_flip_p([-d for d in SIX]) == 4 / 64
    assert stats.above_p(SIX, 0.0) == 2 / 64
    # Moved by .02 the fourth is -.03: .08 .02 .05 -.03 .04 .02, sum .18. As large: as is, the fourth flipped
    # (.24), one .02 flipped with it (.20, two ways), .04 with it (.16: no), both .02 with it (.16: no).
    assert stats.above_p(SIX, 0.02) == 4 / 64


@pytest.mark.parametrize("n", [1, 2, 3, 8, 11, 14])
def test_is_the_enumeration_and_scipys(n):
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    sums = enumerated(differences)
    expected = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-12)
    assert stats.sign_flip_p(differences) == pytest.approx(expected, abs=1e-12)
    for bound in (-0.4, 0.2):
        moved = differences - bound
        share = np.mean(enumerated(moved) >= moved.sum() - 1e-12)
        assert stats.above_p(differences, bound) == pytest.approx(share, abs=1e-12)
    if n > 1:
        scipys = scipy_stats.permutation_test(
            (differences,), np.mean, permutation_type="samples", n_resamples=np.inf
        )
        assert stats.sign_flip_p(differences) == pytest.approx(scipys.pvalue)


def test_ties_are_counted_whatever_the_order_of_adding():
    """Ten equal differences and their opposite: |sum| >= .8 for none, one, ten or eleven signs: 24 / 2^11."""
    differences = np.array([0.1] * 10 + [-0.1])
    for order in range(5):
        shuffled = np.random.default_rng(order).permutation(differences)
        assert stats.sign_flip_p(shuffled) == pytest.approx(24 / 2**11)
    assert stats.sign_flip_p([0.0, 0.0, 0.0]) == 1.0


def test_random_signs_beyond_twenty_seeds_agree_with_all_of_them():
    differences = np.random.default_rng(0).normal(0.35, 1, 22)
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    exact = np.mean(sums >= differences.sum() - 1e-9)
    error = math.sqrt(exact * (1 - exact) / stats.RESAMPLES)
    assert 0.01 < exact < 0.2
    assert resampled_tails(differences[None])[0] == pytest.approx(exact, abs=4 * error)


def test_many_comparisons_at_once_are_each_alone():
    """Of different numbers of seeds, on both sides of the exact limit, one without any."""
    draw = np.random.default_rng(1)
    differences = [draw.normal(0.3, 1, n) for n in (24, 7, 0, 24, 30)]
    np.testing.assert_array_equal(
        stats.sign_flip_ps(differences), [stats.sign_flip_p(each) for each in differences]
    )


def test_what_few_seeds_can_show():
    """All of one sign: 2 of 2^n arrangements, or none of the random ones."""
    assert stats.sign_flip_p([1] * 5) == 2 / 2**5
    assert stats.sign_flip_p([1] * 20) == 2.0**-19
    assert stats.sign_flip_p([1] * 40) == 2 / (stats.RESAMPLES + 1)
    assert math.isnan(stats.sign_flip_p([]))
    assert math.isnan(stats.above_p([math.nan], 0.0))
