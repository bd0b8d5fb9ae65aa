"""Two arms compared by their differences within a seed.

Arms that share environment, model and seed share initial weights, tasks and sampling keys: the differences,
one per seed, are the independent units.

Shape suffixes: K comparisons, S seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from reports.stats.intervals import CONFIDENCE, Interval, finite, share_interval, t_interval
from reports.stats.sign_flip import sign_flip_ps


@dataclass(frozen=True)
class Paired:
    """What the differences of one comparison say; not adjusted for other comparisons."""

    difference: Interval
    """Mean difference with Student's t interval, in the unit of the scores."""
    standardised: Interval
    """The same in SDs of the differences (Cohen's d_z)."""
    improvement: Interval
    """Chance that a new seed's left run beats its right run; a tie counts half."""
    sd: float
    """SD of the differences; NaN below two seeds."""
    p: float
    """Two-sided p of the sign-flip test, NaN without seeds: for comparison with papers, it decides nothing.
    Exact if the arms are exchangeable; not if one collapses more often (docs/statistics.md)."""

    @property
    def seeds(self) -> int:
        """Paired seeds."""
        return self.difference.n


def paired(differences_S: ArrayLike) -> Paired:
    """Compare two arms by `left - right` of each seed; a seed with NaN is left out."""
    return all_paired([differences_S])[0]


def all_paired(differences_KS: Sequence[ArrayLike]) -> list[Paired]:
    """`paired` of each of K comparisons."""
    found = [finite(each) for each in differences_KS]
    return [
        Paired(
            difference=t_interval(differences),
            standardised=standardised(differences),
            improvement=paired_improvement(differences),
            sd=float(differences.std(ddof=1)) if len(differences) > 1 else math.nan,
            p=p,
        )
        for differences, p in zip(found, sign_flip_ps(found).tolist(), strict=True)
    ]


def standardised(differences_S: ArrayLike) -> Interval:
    """Mean difference over the SD of differences, with Hedges' small-sample factor.

    The interval is exact for normal differences: the noncentrality at which t is the .975 and the .025
    quantile, over sqrt(n). NaN below three seeds and if the differences do not spread beyond rounding.
    """
    differences = finite(differences_S)
    n = len(differences)
    if n < 3 or np.ptp(differences) <= 1e-9 * np.abs(differences).max():
        return Interval(math.nan, math.nan, math.nan, n)
    d = float(differences.mean() / differences.std(ddof=1))
    low, high = (
        float(special.nctdtrinc(n - 1, tail, d * math.sqrt(n))) / math.sqrt(n)
        for tail in ((1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2)
    )
    return Interval(hedges(n - 1) * d, low, high, n)


def hedges(freedom: int) -> float:
    """Expected population effect over sample effect (Hedges 1981, eq. 6e); above 1 degree of freedom."""
    return float(special.poch((freedom - 1) / 2, 0.5) * math.sqrt(2 / freedom))


def paired_improvement(differences_S: ArrayLike) -> Interval:
    """Share of seeds on which left is better, ties half, with a Clopper-Pearson interval.

    The lower bound counts ties as losses, the upper bound as wins, so that it holds whatever ties mean.
    """
    differences = finite(differences_S)
    n = len(differences)
    wins, ties = int((differences > 0).sum()), int((differences == 0).sum())
    share = (wins + ties / 2) / n if n else math.nan
    return Interval(share, share_interval(wins, n).low, share_interval(wins + ties, n).high, n)


def probability_of_improvement(left_S: ArrayLike, right_S: ArrayLike) -> float:
    """P(left > right) + P(tie) / 2 over all pairs of runs, seeds ignored (Agarwal et al. 2021; Mann-Whitney).

    Given besides `paired_improvement` for comparison with papers: it has the spread between seeds in it.
    """
    left, right = finite(left_S), finite(right_S)
    if len(left) == 0 or len(right) == 0:
        return math.nan
    return float(np.mean(np.heaviside(np.subtract.outer(left, right), 0.5)))
