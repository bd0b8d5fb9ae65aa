"""TOST against enumeration and statsmodels' t form."""

import math
from itertools import product

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from reports import stats
from tests.reports.stats import SIX


def test_by_hand():
    """Within .2 either way all six moved differences are positive: one pattern of 64."""
    assert stats.equivalence_p(SIX, 0.2) == 1 / 64
    assert stats.equivalence_p([-d for d in SIX], 0.2) == 1 / 64
    assert stats.equivalence_p(SIX, 0.05) > 0.5, "the mean sits on the edge"
    assert math.isnan(stats.equivalence_p([]))
    with pytest.raises(ValueError, match="above 0"):
        stats.equivalence_p(SIX, 0.0)


def test_is_the_larger_of_two_enumerations():
    differences = np.random.default_rng(3).normal(0.02, 0.05, 9)
    signs = np.array(list(product([1, -1], repeat=9)))
    tails = [
        np.mean(signs @ moved >= moved.sum() - 1e-12) for moved in (differences + 0.05, 0.05 - differences)
    ]
    assert stats.equivalence_p(differences) == pytest.approx(max(tails))


def test_is_near_students_where_differences_are_normal():
    for seed in range(20):
        differences = np.random.default_rng(seed).normal(0.01, 0.06, 18)
        students, _, _ = DescrStatsW(differences).ttost_mean(-0.05, 0.05)
        assert stats.equivalence_p(differences) == pytest.approx(students, abs=0.02)


def test_two_seeds_at_the_ceiling_prove_nothing():
    assert stats.equivalence_p([0.0, 0.0]) == 0.25
    assert stats.equivalence_p([0.0] * 6) == 1 / 64
