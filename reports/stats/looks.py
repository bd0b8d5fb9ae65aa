"""The sign test at several looks, of which any may be the last (`sweep.seeds=until_decided`).

The looks are planned: at each the wins so far are a binomial count, whose one-sided p is multiplied by the
look's strictness. The smallest of these products is the statistic. Its distribution for fair coins over all
planned looks follows by recursion, exactly, and the p of what was seen so far is its chance to be as small
at any look, seen or not. So p holds whenever one stops, and for whatever reason, as later looks can only
make the statistic smaller. Tied seeds count against the side that is asked about.

Shape suffixes: S seeds in the order in which they were played; leading axes broadcast.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from reports.stats import mean_bound
from reports.stats.intervals import Floats

FIRST, LATER = 2.0, 5.0
"""Strictness of the first look and of each later one: one comparison is decided by 6 wins of 6 seeds, 9 of 9,
11 of 12, 15 of 18, 19 of 24."""


def more_wins_p(votes_S: ArrayLike, looks: Sequence[int]) -> Floats:
    """One-sided p for a win (a vote of 1) not being likelier than all else; 1 before the first look."""
    wins_S = (np.asarray(votes_S) > 0).cumsum(axis=-1)
    statistic = np.full(wins_S.shape[:-1], np.inf)
    for look, strictness in zip(looks, strictnesses(looks), strict=True):
        if look <= wins_S.shape[-1]:
            statistic = np.minimum(statistic, strictness * tails(look)[wins_S[..., look - 1]])
    values, place = np.unique(statistic, return_inverse=True)
    p = np.array([chance(float(value), tuple(looks)) for value in values])
    return np.asarray(p[place].reshape(statistic.shape), dtype=float)


def sign_test_p(votes_S: ArrayLike, looks: Sequence[int]) -> Floats:
    """Two-sided p for a win being as likely as a loss, of the side that is ahead now; 1 if none is."""
    voted = np.asarray(votes_S)
    ahead = np.sign(voted.sum(axis=-1))
    one_sided = np.where(ahead > 0, more_wins_p(voted, looks), more_wins_p(-voted, looks))
    return np.where(ahead == 0, 1.0, np.minimum(1.0, 2 * one_sided))


def not_above_p(values_S: ArrayLike, looks: Sequence[int], bound: float = 0.0) -> Floats:
    """p for a mean of `bound` or less (`mean_bound`), Bonferroni's over the looks; 1 before the first one."""
    values = np.asarray(values_S, dtype=float)
    smallest = np.ones(values.shape[:-1])
    for look in looks:
        if look <= values.shape[-1]:
            smallest = np.minimum(smallest, mean_bound.not_above_p(values[..., :look], bound))
    return np.asarray(np.minimum(1.0, len(looks) * smallest), dtype=float)


def strictnesses(looks: Sequence[int]) -> list[float]:
    """By look, what its p is multiplied with."""
    return [FIRST, *[LATER] * (len(looks) - 1)]


@lru_cache
def tails(seeds: int) -> Floats:
    """P(W >= w) of fair coins, for w from 0 to `seeds`."""
    return np.asarray(stats.binom.sf(np.arange(seeds + 1) - 1, seeds, 0.5), dtype=float)


@lru_cache(maxsize=4096)
def chance(statistic: float, looks: tuple[int, ...]) -> float:
    """P(the statistic over all looks is this or less) for fair coins."""
    return float(sum(stopped(bounds(statistic, looks), looks, 0.5)))


def bounds(statistic: float, looks: Sequence[int]) -> list[int]:
    """By look, the fewest wins that make the statistic this or less; one more than the seeds if none do."""
    level = statistic * (1 + 1e-12)
    return [
        int((strictness * tails(look) > level).sum())
        for look, strictness in zip(looks, strictnesses(looks), strict=True)
    ]


def stopped(wins_needed: Sequence[int], looks: Sequence[int], win: float) -> list[float]:
    """The chance to reach the wins needed at each look first; `win`: the chance to win a seed."""
    found, before = [], 0
    going = np.ones(1)
    """The chance of each number of wins without having stopped."""
    for needed, look in zip(wins_needed, looks, strict=True):
        more = look - before
        going = np.convolve(going, stats.binom.pmf(np.arange(more + 1), more, win))
        found.append(float(going[needed:].sum()))
        going[needed:] = 0.0
        before = look
    return found


@lru_cache(maxsize=256)
def wins_to_stop(level: float, looks: tuple[int, ...]) -> tuple[int, ...]:
    """By look, the wins whose two-sided p is `level` or less; one more than the seeds if none are enough."""
    reachable = {
        s * float(p) for look, s in zip(looks, strictnesses(looks), strict=True) for p in tails(look)
    }
    allowed = [each for each in reachable if 2 * chance(each, looks) <= level]
    return tuple(bounds(max(allowed, default=-1.0), looks))


def first_look(level: float, looks: Sequence[int]) -> int:
    """The first look at which the two-sided p can be `level` or less; beyond the last if none can."""
    needed = wins_to_stop(level, tuple(looks))
    return next((look for look, wins in zip(looks, needed, strict=True) if wins <= look), looks[-1] + 1)
