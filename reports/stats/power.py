"""Power of the paired sign-flip test under Holm's correction, by simulation and closed form.

The test is the report's own (`sign_flip_p`). Differences between seeds are taken as normal. Their mean and SD
are then independent of their residuals over the SD, and given those the sign-flip test rejects where
Student's t exceeds a critical value that depends on them alone. So only the residuals are simulated; the rest
is the noncentral t in closed form. Every effect size is judged on the same draws.

Shape suffixes: N numbers of seeds, S seeds, R draws, P sign arrangements. An effect is in units of the SD of
the paired differences (Cohen's d_z).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from reports.stats.intervals import CONFIDENCE, Floats, finite
from reports.stats.multiplicity import ALPHA
from reports.stats.sign_flip import RESAMPLES, arrangements

POWER = 0.8
"""Cohen's convention."""

MOST_SEEDS = 1000
"""Seeds beyond this are not counted."""
DRAWS = 1000
CELLS = 2**25
"""Draws times sign arrangements are at most so many: bounds the time. 512 draws are left at 16 seeds."""
CHUNK = 2**22
"""Draws times sign arrangements held at once."""
ENUMERATED = 16
"""Up to so many seeds all arrangements are simulated; above, `RESAMPLES` random ones stand for them."""
BEYOND_ENUMERATED = (20, 26, 36)
"""Numbers of seeds above `ENUMERATED` that are simulated; between them the distance to the t-test is
interpolated."""
CLOSED_FROM = 64
"""From so many seeds on the power is the t-test's, which the sign-flip test's tends to (Lehmann & Romano)."""
SEED = 0


def compared(seeds: int) -> NDArray[np.float32]:
    """The signs (P x seeds) under which sums are compared with the observed one."""
    if seeds <= ENUMERATED:
        return arrangements(seeds).astype(np.float32)
    return np.random.default_rng(0).choice([-1.0, 1.0], size=(RESAMPLES, seeds)).astype(np.float32)


def tolerated(seeds: int, level: float) -> int:
    """Arrangements whose sum may reach the observed one at p <= `level`; negative where none is too many.

    The observed arrangement is one of the enumerated ones, and counted besides the random ones.
    """
    if seeds <= ENUMERATED:
        return math.floor(level * 2.0 ** (seeds - 1) + 1e-9)
    return math.floor(level / 2 * (RESAMPLES + 1) + 1e-9) - 1


def able(seeds: int, level: float) -> bool:
    """Whether that many paired seeds can reach p <= `level` at all."""
    return seeds >= 2 and tolerated(seeds, level) >= (1 if seeds <= ENUMERATED else 0)


@lru_cache(maxsize=64)
def ladder(seeds: int, alpha: float) -> Floats:
    """For drawn residuals, the values of t (R x some) at which arrangement by arrangement falls behind.

    With the mean m and residuals u over the SD, the observed sum S m is reached by the arrangement e as long
    as m <= e.u / (S - 1.e); by the observed arrangement itself always. Descending: above the value in column
    k at most k arrangements still reach it. As many columns as alpha can need.
    """
    signs = compared(seeds)
    draws = min(DRAWS, CELLS // len(signs))
    z = np.random.default_rng([SEED, seeds]).standard_normal((draws, seeds), dtype=np.float32)
    residuals = z - z.mean(axis=1, keepdims=True)
    residuals /= residuals.std(axis=1, ddof=1, keepdims=True)
    flipped = seeds - signs.sum(axis=1)
    keep = tolerated(seeds, alpha) + 1
    steps = []
    for part in np.array_split(residuals, math.ceil(draws * len(signs) / CHUNK)):
        means = part @ signs.T
        means /= np.maximum(flipped, 1)
        means[:, flipped == 0] = np.inf
        means.partition(-keep, axis=1)
        steps.append(np.sort(means[:, -keep:], axis=1)[:, ::-1])
    return math.sqrt(seeds) * np.concatenate(steps).astype(float)


def critical_t(seeds: int, comparisons: int, alpha: float) -> Floats:
    """For each draw (R) the value of t above which the sign-flip test rejects at alpha / comparisons."""
    return ladder(seeds, alpha)[:, tolerated(seeds, alpha / comparisons)]


def power_at(effect: float, seeds: int, comparisons: int, alpha: float) -> float:
    """Power of the sign-flip test at an effect in SDs, where it can reject at all; simulated residuals."""
    critical = critical_t(seeds, comparisons, alpha)
    return float(np.mean(stats.nct.sf(critical, seeds - 1, effect * math.sqrt(seeds))))


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
    """The effect in SDs found with `power`, for 0 to `MOST_SEEDS` seeds; infinite where no verdict can be.

    Families above some 2,500 comparisons have none: their level lies below what `RESAMPLES` can show.
    """
    seeds = np.array([n for n in range(MOST_SEEDS + 1) if able(n, alpha / comparisons)], dtype=int)
    by_t = np.full(MOST_SEEDS + 1, np.inf)
    by_t[seeds] = t_effect(seeds, stats.t.isf(alpha / comparisons / 2, seeds - 1), power)
    sizes = [n for n in (*range(ENUMERATED + 1), *BEYOND_ENUMERATED) if n in seeds]
    gaps = [smallest_effect(n, comparisons, power, alpha) - by_t[n] for n in sizes]
    effects = by_t + np.interp(np.arange(MOST_SEEDS + 1), [*sizes, CLOSED_FROM], [*gaps, 0.0])
    return np.minimum.accumulate(effects)


def seeds_for(
    sd: float, effect: float, comparisons: int = 1, power: float = POWER, alpha: float = ALPHA
) -> int | None:
    """Paired seeds that find `effect` where differences spread by `sd`; None above `MOST_SEEDS`."""
    enough = smallest_effects(comparisons, power, alpha) <= effect / max(sd, 1e-9)
    return int(np.argmax(enough)) if enough.any() else None


def detectable(
    differences_S: ArrayLike, comparisons: int = 1, power: float = POWER, alpha: float = ALPHA
) -> float:
    """The true difference that so many seeds would find with `power`, their SD taken as the true one.

    In the unit of the differences; at Holm's first level, alpha / comparisons. Infinite where no verdict can
    be, NaN below two seeds. It depends on the SD alone, not on the difference that was observed.
    """
    differences = finite(differences_S)
    if len(differences) < 2:
        return math.nan
    effect = float(smallest_effects(comparisons, power, alpha)[min(len(differences), MOST_SEEDS)])
    return math.inf if math.isinf(effect) else float(differences.std(ddof=1)) * effect


def sd_factors(seeds: int) -> tuple[float, float]:
    """True SD over the SD of a normal sample: 95 % interval, from the chi-square law of the variance."""
    low, high = (
        math.sqrt((seeds - 1) / float(stats.chi2.isf(tail, seeds - 1)))
        for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
    )
    return low, high
