"""The sign test: which side wins a seed, and how surprising the count of won seeds is.

It assumes nothing about the distribution of scores: if neither side wins more often than the other, a seed
that is not tied is a fair coin, whatever collapses, ceilings or unequal spreads do.

Shape suffixes: S seeds, A and B arms of the left and of the right side; leading axes broadcast.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from reports.stats.intervals import Floats

DIGITS = 12
"""Differences of rates are rounded to this many digits: 0.95 - 0.90 is 0.05, and equal rates are equal."""

Counts = NDArray[np.int64]


def rounded(differences: ArrayLike) -> Floats:
    """Differences without the noise of floating point."""
    return np.round(np.asarray(differences, dtype=float), DIGITS)


def votes(left_SA: ArrayLike, right_SB: ArrayLike, shift: float = 0.0) -> Counts:
    """Who wins each seed (S): 1 the left side, moved up by `shift`, -1 the right side, 0 neither.

    A side of several arms wins a seed if its runs win more than half of their meetings with the other side's
    runs. Arms that are exchangeable then win as often as they lose, however many a side has: the mean over
    three arms against one run does not do that if runs collapse.
    """
    left, right = np.asarray(left_SA, dtype=float), np.asarray(right_SB, dtype=float)
    meetings_SAB = rounded(left[..., :, None] + shift - right[..., None, :])
    return np.asarray(np.sign(np.sign(meetings_SAB).sum(axis=(-2, -1))), dtype=np.int64)


def won_and_lost(votes_S: ArrayLike) -> tuple[Counts, Counts]:
    """Seeds that the left side won, and that it lost."""
    voted = np.asarray(votes_S)
    return (voted > 0).sum(axis=-1), (voted < 0).sum(axis=-1)


def more_wins_p(wins: ArrayLike, losses: ArrayLike) -> Floats:
    """One-sided: the chance of this many wins or more if a win is not likelier than a loss; ties left out."""
    w, n = np.asarray(wins, dtype=float), np.asarray(wins, dtype=float) + np.asarray(losses, dtype=float)
    return np.where(w > 0, special.betainc(np.maximum(w, 1), n - w + 1, 0.5), 1.0)


def sign_test_p(wins: ArrayLike, losses: ArrayLike) -> Floats:
    """Two-sided p for a win being as likely as a loss."""
    return np.minimum(1.0, 2 * more_wins_p(np.maximum(wins, losses), np.minimum(wins, losses)))


@lru_cache(maxsize=4096)
def wins_needed(seeds: int, level: float) -> int:
    """Wins among `seeds` untied seeds whose two-sided p is `level` or less; `seeds` + 1 if none is."""
    wins = np.arange(seeds + 1)
    enough = np.flatnonzero((2 * wins > seeds) & (sign_test_p(wins, seeds - wins) <= level * (1 + 1e-12)))
    return int(enough[0]) if len(enough) else seeds + 1


def fewest_seeds(level: float) -> int:
    """Untied seeds, all won, whose one-sided p is `level` or less."""
    return math.ceil(math.log2(1 / level) - 1e-9)
