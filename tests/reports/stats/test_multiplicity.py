"""Adjusted p values against statsmodels, hand-worked steps and the definition."""

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from reports import stats


def test_holm_by_hand():
    """.01 x 3, then max(.03, .02 x 2), then max(.04, .04 x 1)."""
    np.testing.assert_allclose(stats.holm([0.04, 0.01, 0.02]), [0.04, 0.03, 0.04])


@pytest.mark.parametrize(("function", "method"), [(stats.holm, "holm"), (stats.benjamini_hochberg, "fdr_bh")])
def test_is_statsmodels(function, method):
    p = np.random.default_rng(0).beta(0.4, 2, 15)
    np.testing.assert_allclose(function(p), multipletests(p, method=method)[1])
    assert len(function([])) == 0


@pytest.mark.parametrize("function", [stats.holm, stats.benjamini_hochberg])
def test_a_comparison_without_seeds_counts_in_the_family(function):
    p = [0.01, math.nan, 0.03]
    found = function(p)
    np.testing.assert_allclose(found[[0, 2]], function([0.01, 1.0, 0.03])[[0, 2]])
    assert math.isnan(found[1])


def stepped(p: np.ndarray, q: np.ndarray, alpha: float) -> set[tuple[str, int]]:
    """Shaffer's procedure as written: reject at alpha over the most nulls that can still be true, repeat."""
    values = {("p", k): float(v) for k, v in enumerate(p)} | {("q", k): float(v) for k, v in enumerate(q)}
    rejected: set[tuple[str, int]] = set()
    while True:
        standing = sum(not {("p", k), ("q", k)} <= rejected for k in range(len(p)))
        more = {name for name, v in values.items() if name not in rejected and standing * v <= alpha}
        if not more:
            return rejected
        rejected |= more


def test_the_shared_steps_are_shaffers():
    draw = np.random.default_rng(0)
    for _ in range(300):
        p, q = draw.beta(0.3, 3, (2, 6))
        p_adjusted, q_adjusted = stats.holm_shared(p, q)
        for alpha in (0.01, 0.05, 0.2):
            expected = stepped(p, q, alpha)
            assert {k for k in range(6) if p_adjusted[k] <= alpha} == {k for s, k in expected if s == "p"}
            assert {k for k in range(6) if q_adjusted[k] <= alpha} == {k for s, k in expected if s == "q"}


def test_the_shared_steps_by_hand():
    """.001 x 2, .02 x 2; with both nulls of the first gone one comparison stands: max(.04, .03), .5."""
    p, q = stats.holm_shared([0.001, 0.03], [0.02, 0.5])
    np.testing.assert_allclose([*p, *q], [0.002, 0.04, 0.04, 0.5])
    p, q = stats.holm_shared([0.01, math.nan], [0.9, math.nan])
    np.testing.assert_allclose([*p, *q], [0.02, math.nan, 1.0, math.nan])


def test_one_comparison_pays_nothing_for_the_second_question():
    """The two nulls exclude each other."""
    p, q = stats.holm_shared([0.04], [0.9])
    assert (p[0], q[0]) == (0.04, 0.9)
