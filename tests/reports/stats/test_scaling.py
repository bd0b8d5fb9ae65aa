"""The saturating curve: known parameters come back, and what cannot be known is refused."""

import math

import numpy as np
import pytest

from reports import stats
from reports.stats.scaling import fit, refit

SPENT = np.linspace(0, 1, 21)


def curve(asymptote: float, exponent: float, half: float) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.asarray(0.1 + (asymptote - 0.1) / (1 + (half / SPENT) ** exponent))


def test_known_curves_come_back():
    fitted = stats.scaling_fit(SPENT, [curve(0.8, 2.5, 0.3)] * 3)
    found = [fitted.asymptote.estimate, fitted.exponent.estimate, fitted.half.estimate]
    assert found == pytest.approx([0.8, 2.5, 0.3], rel=1e-4)
    assert fitted.reason == ""


def test_many_fits_at_once_are_scipys_each():
    """Noisy curves from one start; some end at a bound of the asymptote."""
    noise = np.random.default_rng(2).normal(0, 0.02, (20, 21))
    curves = np.concatenate([curve(0.8, 2, 0.3) + noise[:10], curve(0.99, 1, 0.6) + noise[10:]])
    alone = np.array([fit(SPENT, each) for each in curves])
    assert (alone[:, 0] > 0.999).any(), "at the bound"
    np.testing.assert_allclose(refit(SPENT, curves, np.array([0.7, 1.0, -1.0])), alone, atol=1e-4)


def test_asymptote_and_efficiency_are_told_apart():
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 6, 21))
    high = stats.scaling_fit(SPENT, curve(0.9, 2, 0.3) + noise[0])
    quick = stats.scaling_fit(SPENT, curve(0.6, 2, 0.1) + noise[1])
    assert high.asymptote.low > quick.asymptote.high
    assert high.half.low > quick.half.high


@pytest.mark.parametrize(
    ("curves", "reason"),
    [
        ([curve(0.8, 2, 0.3)], "takes two"),
        ([curve(0.8, 2, 0.3), np.where(SPENT > 0.5, math.nan, 0.2)], "lacks a point"),
        ([np.full(21, 0.3)] * 3, "rises by less"),
        ([np.linspace(0.5, 0.1, 21)] * 3, "rises by less"),
        ([0.1 + 0.3 * SPENT**2] * 3, "a guess"),
    ],
)
def test_what_is_refused(curves, reason):
    fitted = stats.scaling_fit(SPENT, curves)
    assert reason in fitted.reason
    assert math.isnan(fitted.asymptote.estimate)
