"""Collapse rates against scipy's Clopper-Pearson and binomial tests."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from reports import stats


@pytest.mark.parametrize("n", [1, 6, 10, 19])
def test_the_limits_are_clopper_pearsons(n):
    for count in range(n + 1):
        exact = scipy_stats.binomtest(count, n, alternative="less").proportion_ci(0.95, "exact").high
        assert stats.rate_at_most(count, n) == pytest.approx(exact)
    assert stats.rate_at_most(0, n) == pytest.approx(1 - 0.05 ** (1 / n))
    assert math.isnan(stats.rate_at_most(0, 0))


def test_what_no_collapse_leaves_open():
    """39 % at 6 seeds, 26 % at 10, 19 % at 14."""
    assert [round(stats.rate_at_most(0, n), 2) for n in (6, 10, 14)] == [0.39, 0.26, 0.19]


def test_mcnemar_counts_the_seeds_on_which_one_side_alone_collapsed():
    """Six seeds on which the right side alone collapsed, one on which both did, three on which none did."""
    left, right = np.array([0] * 6 + [1] + [0] * 3), np.array([1] * 6 + [1] + [0] * 3)
    found = stats.collapses(left, right)
    assert (found.seeds, found.left, found.right) == (10, 1, 7)
    assert found.p == pytest.approx(scipy_stats.binomtest(0, 6).pvalue) == pytest.approx(2 / 64)
    assert (found.left_at_most, found.right_at_most) == (stats.rate_at_most(1, 10), stats.rate_at_most(7, 10))
    assert stats.collapses(left, left).p == 1.0


def test_sides_of_unequal_size_are_counted_and_not_compared():
    assert math.isnan(stats.collapses([1, 0], [0, 0], comparable=False).p)
    empty = stats.collapses([], [])
    assert empty.seeds == 0
    assert math.isnan(empty.p)
