"""A bound on a mean that needs no assumption about the distribution but its range (Gaffke's bound).

The sample is given one imaginary worst value, and every value a random weight (Dirichlet of ones: the
Bayesian bootstrap). The chance that the weighted mean lies at or below a bound is the p value for the mean
being no higher. Rare bad runs that were not seen are thus reckoned with. For laws of two values it is
Clopper-Pearson's bound, hence exact; that it holds in general is conjectured (Gaffke 2005, "Three test
statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable"; Learned-Miller &
Thomas 2019, arXiv 1905.06208) and no counterexample is known. docs/statistics.md has simulations.

The weighted mean's distribution is a B-spline with the values as its knots. It is evaluated by de Boor's
recursion, in which every number is an average of two earlier ones: exact, no random draws.

Shape suffixes: S seeds; leading axes broadcast.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize

from reports.stats.intervals import Floats

WORST = -1.0
"""Of a difference of two success rates."""


def not_above_p(values_S: ArrayLike, bound: float = 0.0) -> Floats:
    """p for a mean of `bound` or less, of values in [-1, 1]; small: the mean is higher."""
    values = np.asarray(values_S, dtype=float)
    worst = np.full((*values.shape[:-1], 1), WORST)
    return weighted_mean_cdf(np.concatenate([worst, values], axis=-1), bound)


def weighted_mean_cdf(values_S: ArrayLike, at: float) -> Floats:
    """P(sum W_i x_i <= at) with W uniform on the simplex.

    With x sorted, F of x_i ... x_j is the mean of F of x_i+1 ... x_j and F of x_i ... x_j-1 with the weights
    x_j - at and at - x_i; F of a single value is 1 at `at` or below, 0 above.
    """
    x = np.sort(np.asarray(values_S, dtype=float), axis=-1)
    share = (x <= at).astype(float)
    for span in range(1, x.shape[-1]):
        low, high = x[..., :-span], x[..., span:]
        width = high - low
        to_upper = np.clip((high - at) / np.where(width > 0, width, 1.0), 0.0, 1.0)
        share = to_upper * share[..., 1:] + (1 - to_upper) * share[..., :-1]
    return np.asarray(share[..., 0], dtype=float)


def lower_bound(values_S: ArrayLike, level: float) -> float:
    """The mean is at least this, wrong with a chance of `level` at most; -1 if nothing is known."""
    values = np.asarray(values_S, dtype=float)
    top = float(values.max(initial=WORST))
    if top <= WORST:
        return WORST
    return float(optimize.brentq(lambda at: float(not_above_p(values, at)) - level, WORST, top, xtol=1e-9))
