"""What may be said about a comparison: the one place where numbers become a statement.

Two grades. *Usually better* (worse, alike) is about most seeds: the sign test, exact for every
distribution. *Better* (worse, equivalent) holds also on average over all runs, however rare the bad ones
are: a bound on the mean that assumes nothing but the range of scores. The average is only asked if the
sign test has already answered (docs/statistics.md).

Shape suffixes: S seeds, A and B arms of the left and of the right side, K comparisons of one family; leading
axes broadcast where said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reports.stats import looks as at_looks
from reports.stats.collapses import Collapses, collapses
from reports.stats.intervals import Floats
from reports.stats.mean_bound import WORST, lower_bound, not_above_p
from reports.stats.multiplicity import ALPHA, holm, holm_shared
from reports.stats.pairs import Paired, all_paired, paired_improvement
from reports.stats.power import POWER, SESOI, Outlook, outlook
from reports.stats.sign_test import more_wins_p, rounded, sign_test_p, votes, won_and_lost

Name = TypeVar("Name")
Grade = Literal["on average", "usually", "none"]
Flags = NDArray[np.bool_]


class Word(StrEnum):
    """What is said about the left side. The value is the plain word."""

    better = "better"
    worse = "worse"
    equivalent = "equivalent"
    usually_better = "usually better"
    usually_worse = "usually worse"
    usually_alike = "usually alike"
    undecided = "undecided"

    @property
    def grade(self) -> Grade:
        """Whether it holds also on average over all runs, or on most seeds, or nothing is said."""
        if self is Word.undecided:
            return "none"
        return "usually" if self.value.startswith("usually") else "on average"

    @property
    def direction(self) -> int:
        """1 where the left side is ahead, -1 where it is behind, 0 otherwise."""
        if self in (Word.better, Word.usually_better):
            return 1
        return -1 if self in (Word.worse, Word.usually_worse) else 0


def none(seeds: int) -> Flags:
    """No seed has it."""
    return np.zeros(seeds, dtype=bool)


@dataclass(frozen=True)
class Sides:
    """The two sides of a comparison on their paired seeds: those on which every run has a score."""

    left_SA: Floats
    right_SB: Floats
    """Final success; 0 if the algorithm itself made the run fail."""
    left_failed_S: Flags
    right_failed_S: Flags
    """Seeds on which a run of the side failed."""
    left_collapsed_S: Flags
    right_collapsed_S: Flags
    """Seeds on which a run of the side collapsed or failed."""

    @property
    def differences_S(self) -> Floats:
        """Mean of the left side's arms minus mean of the right side's."""
        return rounded(self.left_SA.mean(axis=1) - self.right_SB.mean(axis=1))

    @property
    def matched(self) -> bool:
        """Whether both sides have equally many arms."""
        return bool(self.left_SA.shape[1] == self.right_SB.shape[1])

    @property
    def failed_S(self) -> Flags:
        """Seeds on which a run of either side failed."""
        return self.left_failed_S | self.right_failed_S

    def only(self, keep_S: Flags) -> "Sides":
        """Some of the seeds."""
        return Sides(*(each[keep_S] for each in vars(self).values()))


def two_arms(left_S: ArrayLike, right_S: ArrayLike) -> Sides:
    """One arm against another, no run failed or collapsed; a seed with NaN is left out."""
    left, right = np.asarray(left_S, dtype=float), np.asarray(right_S, dtype=float)
    kept = ~(np.isnan(left) | np.isnan(right))
    no = none(int(kept.sum()))
    return Sides(left[kept, None], right[kept, None], no, no, no, no)


@dataclass(frozen=True)
class Evidence:
    """The four p values of each comparison (K): on most seeds and on average, differing and alike."""

    usually_K: Floats
    alike_K: Floats
    better_K: Floats
    """Never below `usually_K`."""
    equivalent_K: Floats
    """Never below `alike_K`."""


@dataclass(frozen=True)
class Verdict:
    """What may be said about one comparison, left against right, inside its family."""

    word: Word
    pair: Paired
    """Differences of means, seed by seed: interval, effect sizes, the sign-flip p; wins, by votes."""
    wins: int
    losses: int
    """Seeds that the left side won and lost; the rest are tied."""
    p: float
    """Of the sign test, not adjusted. NaN without seeds, as the following."""
    p_usually: float
    p_alike: float
    p_better: float
    p_equivalent: float
    """Adjusted; the two about likeness are NaN without a SESOI."""
    at_least: float
    at_most: float
    """Of the mean difference, collapses that were not seen included: each a one-sided 95 % limit."""
    collapses: Collapses
    p_collapses: float
    """Of equal collapse rates, adjusted in a family of its own."""
    left_failed: int
    right_failed: int
    without_failed: Word
    """What would be said if the seeds on which a run failed were left out."""
    outlook: Outlook = field(repr=False)
    """What these seeds can decide, and how many others would."""

    @property
    def difference(self) -> float:
        """Mean difference in final success, left minus right."""
        return self.pair.difference.estimate

    @property
    def p_word(self) -> float:
        """The adjusted p of what is said; of a difference on most seeds if nothing is."""
        if self.word.grade == "on average":
            return self.p_better if self.word.direction else self.p_equivalent
        return self.p_alike if self.word is Word.usually_alike else self.p_usually

    @property
    def rests_on_failures(self) -> bool:
        """Whether something else would be said without the seeds on which a run failed."""
        return self.word is not self.without_failed


def verdicts(
    family: Mapping[Name, Sides],
    sesoi: float | None = SESOI,
    alpha: float = ALPHA,
    power: float = POWER,
    looks: Sequence[int] = (),
) -> dict[Name, Verdict]:
    """The verdicts of one pre-declared family; `looks`: the numbers of seeds at which seeds may end.

    The words of a grade are wrong anywhere with a chance of `alpha` at most, and in simulations so are those
    of both grades (docs/statistics.md); statements on collapses have another `alpha`. `sesoi=None` asks for
    no likeness and no average: sign tests under plain Holm, and `outlook` plans for the default SESOI.
    """
    sides = list(family.values())
    adjusted = adjust(evidence(sides, sesoi, looks), sesoi)
    spoken = words(sides, adjusted, alpha)
    survivors = [each.only(~each.failed_S) for each in sides]
    anyone = any(each.failed_S.any() for each in sides)
    without = words(survivors, adjust(evidence(survivors, sesoi, looks), sesoi), alpha) if anyone else spoken
    pairs = all_paired([each.differences_S for each in sides])
    counted = [collapses(each.left_collapsed_S, each.right_collapsed_S, each.matched) for each in sides]
    bounded = alpha / max(1, len(looks))
    p_collapses_K = holm([each.p for each in counted])
    found = {}
    for k, (name, each) in enumerate(family.items()):
        votes_S = votes(each.left_SA, each.right_SB)
        wins, losses = map(int, won_and_lost(votes_S))
        seeds, exploratory = len(each.left_SA), sesoi is None
        found[name] = Verdict(
            word=spoken[k],
            pair=replace(pairs[k], improvement=paired_improvement(votes_S)),
            wins=wins,
            losses=losses,
            p=float(usually_p(votes_S, looks)) if seeds else np.nan,
            p_usually=float(adjusted.usually_K[k]),
            p_alike=float(adjusted.alike_K[k]),
            p_better=float(adjusted.better_K[k]),
            p_equivalent=float(adjusted.equivalent_K[k]),
            at_least=np.nan if exploratory else lower_bound(each.differences_S, bounded),
            at_most=np.nan if exploratory else -lower_bound(-each.differences_S, bounded),
            collapses=counted[k],
            p_collapses=float(p_collapses_K[k]),
            left_failed=int(each.left_failed_S.sum()),
            right_failed=int(each.right_failed_S.sum()),
            without_failed=without[k],
            outlook=outlook(seeds, pairs[k].sd, len(sides), sesoi or SESOI, power, alpha, looks),
        )
    return found


def evidence(sides_K: Sequence[Sides], sesoi: float | None, looks: Sequence[int] = ()) -> Evidence:
    """The p values of each comparison, not adjusted; NaN without seeds, or if not asked for."""
    p_K4 = np.full((len(sides_K), 4), np.nan)
    for k, each in enumerate(sides_K):
        if len(each.left_SA):
            p_K4[k] = p_values(each.left_SA, each.right_SB, each.failed_S, sesoi, looks)
    return Evidence(*p_K4.T)


def p_values(
    left_SA: ArrayLike,
    right_SB: ArrayLike,
    failed_S: ArrayLike,
    sesoi: float | None,
    looks: Sequence[int] = (),
) -> tuple[Floats, Floats, Floats, Floats]:
    """The p values of `Evidence` for one comparison, or for many with equally many seeds (leading axes).

    A seed on which a run failed is not evidence of likeness: it counts against it, at the sign test as a seed
    beyond the SESOI on both sides, for the average as the worst difference either way.
    """
    left, right, failed = np.asarray(left_SA), np.asarray(right_SB), np.asarray(failed_S, dtype=bool)
    votes_S = votes(left, right)
    usually = usually_p(votes_S, looks)
    if sesoi is None:
        missing = np.full_like(usually, np.nan)
        return usually, missing, missing, missing
    differences_S = rounded(left.mean(axis=-1) - right.mean(axis=-1))
    ahead = np.where(votes_S.sum(axis=-1) > 0, 1, -1)[..., None]
    better = np.maximum(usually, mean_p(ahead * differences_S, 0.0, looks))
    alike, equivalent = np.zeros_like(usually), np.zeros_like(usually)
    for near, far in ((left, right), (right, left)):
        inside_S = np.where(failed, -1, votes(near, far, sesoi))
        alike = np.maximum(alike, inside_p(inside_S, looks))
        gaps_S = np.where(failed, WORST, rounded(near.mean(axis=-1) - far.mean(axis=-1)))
        equivalent = np.maximum(equivalent, mean_p(gaps_S, -sesoi, looks))
    return usually, alike, better, np.maximum(alike, equivalent)


def usually_p(votes_S: ArrayLike, looks: Sequence[int]) -> Floats:
    """Two-sided: is either side ahead on most seeds?"""
    return at_looks.sign_test_p(votes_S, looks) if looks else sign_test_p(*won_and_lost(votes_S))


def inside_p(votes_S: ArrayLike, looks: Sequence[int]) -> Floats:
    """One-sided: are most seeds inside a bound?"""
    return at_looks.more_wins_p(votes_S, looks) if looks else more_wins_p(*won_and_lost(votes_S))


def mean_p(values_S: ArrayLike, bound: float, looks: Sequence[int]) -> Floats:
    """One-sided: is the mean above a bound?"""
    return at_looks.not_above_p(values_S, looks, bound) if looks else not_above_p(values_S, bound)


def adjust(found: Evidence, sesoi: float | None) -> Evidence:
    """The adjusted p values of a family: each grade's two questions step down together."""
    if sesoi is None:
        return Evidence(holm(found.usually_K), found.alike_K, found.better_K, found.equivalent_K)
    usually_K, alike_K = holm_shared(found.usually_K, found.alike_K)
    better_K, equivalent_K = holm_shared(found.better_K, found.equivalent_K)
    return Evidence(usually_K, alike_K, better_K, equivalent_K)


def words(sides_K: Sequence[Sides], adjusted: Evidence, alpha: float = ALPHA) -> list[Word]:
    """The highest grade that may be said of each comparison."""
    ahead_K = [int(votes(each.left_SA, each.right_SB).sum()) for each in sides_K]
    return [
        word(
            float(adjusted.usually_K[k]),
            float(adjusted.alike_K[k]),
            float(adjusted.better_K[k]),
            float(adjusted.equivalent_K[k]),
            ahead,
            alpha,
        )
        for k, ahead in enumerate(ahead_K)
    ]


def word(
    usually: float, alike: float, better: float, equivalent: float, ahead: int, alpha: float = ALPHA
) -> Word:
    """The word of four adjusted p values; `ahead`: seeds won less seeds lost.

    A difference that is real and negligible is equivalent (alike); a large p says nothing.
    """
    if equivalent <= alpha:
        return Word.equivalent
    if better <= alpha:
        return Word.better if ahead > 0 else Word.worse
    if alike <= alpha:
        return Word.usually_alike
    if usually <= alpha:
        return Word.usually_better if ahead > 0 else Word.usually_worse
    return Word.undecided
