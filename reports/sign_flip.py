"""Power of the paired sign-flip test under Holm's correction, by simulation and closed form.

The test is the report's own (`stats.sign_flip_p`; Lehmann & Romano, Testing Statistical Hypotheses, 3rd ed.
2005, section 15.2). Differences between seeds are taken as normal. Their mean and SD are then independent of
their residuals over the SD, and given those the sign-flip test rejects where Student's t exceeds a critical
value that depends on them alone. So only the residuals are simulated; the rest is the noncentral t in closed
form. Every effect size is judged on the same draws.

Shape suffixes: N numbers of seeds, S seeds, R draws, P sign arrangements. An effect is in units of the SD of
the paired differences (Cohen's d_z).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special
from scipy import stats as scipy_stats

from reports import stats
from reports.stats import Floats

MOST_SEEDS = 1000
"""Seeds beyond this are not counted."""
DRAWS = 1000
CELLS = 2**25
"""Draws times sign arrangements are at most so many: bounds the time. 512 draws are left at 16 seeds."""
CHUNK = 2**22
"""Draws times sign arrangements held at once."""
BEYOND_EXACT = (20, 26, 36)
"""Numbers of seeds above `stats.EXACT_SEEDS` that are simulated; between them the distance to the t-test is
interpolated."""
CLOSED_FROM = 64
"""From so many seeds on the power is the t-test's, which the sign-flip test's tends to (Lehmann & Romano)."""
SEED = 0


def arrangements(seeds: int) -> NDArray[np.float32]:
    """The signs (P x seeds) that `stats.sign_flip_p` counts: all, or its random ones and their mirrors.

    With the mirrors, sums as large as the observed one are counted instead of absolute sums.
    """
    if seeds <= stats.EXACT_SEEDS:
        bits = (np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1
        return (1 - 2 * bits).astype(np.float32)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(stats.RESAMPLES, seeds)).astype(np.float32)
    return np.concatenate([signs, -signs])


def tolerated(seeds: int, level: float) -> int:
    """Arrangements whose sum may reach the observed one at p <= `level`; negative where none is too many."""
    if seeds <= stats.EXACT_SEEDS:
        return math.floor(level / stats.smallest_p(seeds) + 1e-9)
    return math.floor(level * (stats.RESAMPLES + 1) + 1e-9) - 1


@lru_cache(maxsize=64)
def ladder(seeds: int, alpha: float) -> Floats:
    """For drawn residuals, the values of t (R x some) at which arrangement by arrangement falls behind.

    With the mean m and residuals u over the SD, the observed sum S m is reached by the arrangement e as long
    as m <= e.u / (S - 1.e); by the observed arrangement itself always. Descending: above the value in column
    k at most k arrangements still reach it. As many columns as alpha can need.
    """
    signs = arrangements(seeds)
    draws = min(DRAWS, CELLS // len(signs))
    z = np.random.default_rng([SEED, seeds]).standard_normal((draws, seeds), dtype=np.float32)
    residuals = z - z.mean(axis=1, keepdims=True)
    residuals /= residuals.std(axis=1, ddof=1, keepdims=True)
    flipped = seeds - signs.sum(axis=1)
    keep = tolerated(seeds, alpha) + 1
    steps = []
    for part in np.array_split(residuals, math.ceil(draws * len(signs) / CHUNK)):
        sums = part @ signs.T
        means = np.divide(sums, flipped, out=np.full_like(sums, np.inf), where=flipped > 0)
        steps.append(np.sort(np.partition(means, -keep, axis=1)[:, -keep:], axis=1)[:, ::-1])
    return math.sqrt(seeds) * np.concatenate(steps).astype(float)


def critical_t(seeds: int, comparisons: int, alpha: float) -> Floats:
    """For each draw (R) the value of t above which the sign-flip test rejects at alpha / comparisons."""
    return ladder(seeds, alpha)[:, tolerated(seeds, alpha / comparisons)]


def power_at(effect: float, seeds: int, comparisons: int, alpha: float) -> float:
    """Power of the sign-flip test at an effect in SDs, where it can reject at all; simulated residuals."""
    critical = critical_t(seeds, comparisons, alpha)
    return float(np.mean(scipy_stats.nct.sf(critical, seeds - 1, effect * math.sqrt(seeds))))


def t_effect(seeds_N: ArrayLike, critical_N: ArrayLike, power: float) -> Floats:
    """The effect in SDs with which t exceeds a critical value with `power`: noncentral t, in closed form."""
    seeds = np.asarray(seeds_N, dtype=float)
    shift = special.nctdtrinc(seeds - 1, 1 - power, np.asarray(critical_N, dtype=float))
    return np.asarray(shift / np.sqrt(seeds), dtype=float)


def smallest_effect(seeds: int, comparisons: int, power: float, alpha: float) -> float:
    """The effect in SDs that the sign-flip test finds with `power`, by bisection on simulated residuals."""
    strictest = critical_t(seeds, comparisons, alpha).max()

    def surplus(effect: float) -> float:
        return power_at(effect, seeds, comparisons, alpha) - power

    return float(optimize.brentq(surplus, 0.0, 1e-6 + float(t_effect(seeds, strictest, power)), xtol=1e-4))


@lru_cache(maxsize=16)
def smallest_effects(comparisons: int, power: float, alpha: float) -> Floats:
    """The effect in SDs found with `power`, for 0 to `MOST_SEEDS` seeds; infinite where no verdict can be."""
    able = np.array([n >= 2 and stats.smallest_p(n) * comparisons <= alpha for n in range(MOST_SEEDS + 1)])
    seeds = np.flatnonzero(able)
    by_t = np.full(len(able), np.inf)
    by_t[seeds] = t_effect(seeds, scipy_stats.t.isf(alpha / comparisons / 2, seeds - 1), power)
    sizes = [n for n in (*range(stats.EXACT_SEEDS + 1), *BEYOND_EXACT) if able[n]]
    gaps = [smallest_effect(n, comparisons, power, alpha) - by_t[n] for n in sizes]
    effects = by_t + np.interp(np.arange(len(able)), [*sizes, CLOSED_FROM], [*gaps, 0.0])
    return np.minimum.accumulate(effects)
