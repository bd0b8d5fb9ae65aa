"""The paired sign-flip permutation test (Lehmann & Romano, Testing Statistical Hypotheses, 3rd ed., 15.2).

Null: the differences between two arms are symmetric about a shift. Arms that are exchangeable within a seed
have differences symmetric about 0 whatever the distribution of scores, collapses included, so the test is
exact there. Two arms with equal means of which one collapses more often are not exchangeable: there it errs
several times as often as it says (docs/statistics.md), and decides nothing in the report.

Shape suffixes: K comparisons, S seeds, H arrangements of the signs of one half.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from reports.stats.intervals import Floats, finite

EXACT_SEEDS = 20
"""Up to this many seeds, all 2^n sign arrangements are counted, beyond it `RESAMPLES` random ones."""
RESAMPLES = 100_000
CHUNK = 10_000
"""This many of them are held at once."""
ROUNDING = 1e-9
"""Equal sums that were added up in another order must count as equal: share of the sum of magnitudes."""


def sign_flip_p(differences_S: ArrayLike) -> float:
    """Two-sided p for a mean difference of 0; NaN without seeds. NaN differences are left out."""
    return float(sign_flip_ps([differences_S])[0])


def sign_flip_ps(differences_KS: Sequence[ArrayLike]) -> Floats:
    """`sign_flip_p` of each of K comparisons, whose numbers of seeds may differ."""
    found = [finite(each) for each in differences_KS]
    # Flipping every sign turns the lower tail into the upper one.
    tail_K = upper_tails([each if each.sum() > 0 else -each for each in found])
    return np.minimum(1.0, 2 * tail_K)  # a NaN stays NaN


def above_p(differences_S: ArrayLike, bound: float) -> float:
    """One-sided p for a mean difference of `bound` or less, against a larger one; NaN without seeds."""
    return float(above_ps([differences_S], bound)[0])


def above_ps(differences_KS: Sequence[ArrayLike], bound: float) -> Floats:
    """`above_p` of each of K comparisons."""
    return upper_tails([finite(each) - bound for each in differences_KS])


def upper_tails(differences_KS: Sequence[Floats]) -> Floats:
    """Share of sign arrangements whose sum reaches the observed one, for each of K comparisons."""
    tail_K = np.full(len(differences_KS), math.nan)
    many: dict[int, list[int]] = defaultdict(list)
    for k, differences_S in enumerate(differences_KS):
        if len(differences_S) > EXACT_SEEDS:
            many[len(differences_S)].append(k)
        elif len(differences_S):
            tail_K[k] = enumerated_tail(differences_S)
    for members in many.values():
        tail_K[members] = resampled_tails(np.array([differences_KS[k] for k in members]))
    return tail_K


def enumerated_tail(differences_S: Floats) -> float:
    """Over all arrangements. Meet in the middle: a sum is the first half's plus the second half's."""
    first_H, second_H = (arrangements(len(half)) @ half for half in np.array_split(differences_S, 2))
    below = np.searchsorted(np.sort(second_H), np.sort(reached(differences_S) - first_H))
    return 1.0 - int(below.sum()) / (len(first_H) * len(second_H))


def resampled_tails(differences_KS: Floats) -> Floats:
    """Over `RESAMPLES` random arrangements, the same for all comparisons with this many seeds."""
    draw, threshold_K = np.random.default_rng(0), reached(differences_KS)
    extreme_K = np.zeros(len(differences_KS), dtype=int)
    for _ in range(0, RESAMPLES, CHUNK):
        signs = draw.choice([-1.0, 1.0], size=(CHUNK, differences_KS.shape[1]))
        extreme_K += (signs @ differences_KS.T >= threshold_K).sum(axis=0)
    return np.asarray((extreme_K + 1) / (RESAMPLES + 1), dtype=float)


def reached(differences_S: Floats) -> Floats:
    """The sum that an arrangement has to reach; of each row."""
    return np.asarray(differences_S.sum(axis=-1) - ROUNDING * np.abs(differences_S).sum(axis=-1))


@lru_cache(maxsize=32)
def arrangements(seeds: int) -> Floats:
    """All 2^seeds rows of signs."""
    bits = (np.arange(2**seeds)[:, None] >> np.arange(seeds)) & 1
    return np.where(bits, -1.0, 1.0)
