"""Better, worse, equivalent or undecided: the one place where numbers become a statement.

Shape suffixes: S seeds, K comparisons of one family.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from reports.stats.equivalence import SESOI, equivalence_ps
from reports.stats.multiplicity import ALPHA, holm, holm_shared
from reports.stats.pairs import Paired, all_paired
from reports.stats.power import POWER, detectable, seeds_for

Statement = Literal["better", "worse", "equivalent", "undecided"]
Name = TypeVar("Name")


@dataclass(frozen=True)
class Verdict:
    """What may be said about one comparison, `left - right`, inside its family."""

    statement: Statement
    pair: Paired
    p_adjusted: float
    """Of the difference: `better` or `worse` at alpha or below. NaN without seeds."""
    p_equivalence: float
    """Of the equivalence, adjusted together with the differences; NaN without seeds or without a SESOI."""
    detectable: float
    """The true difference that these seeds would find with the declared power, see `power.detectable`."""
    seeds_more: int | None
    """Seeds to add so that `settles` is found with the declared power: 0 where there are enough. None where
    more than `power.MOST_SEEDS` are needed, or below two seeds, where the spread is unknown."""
    settles: float
    """The difference that `seeds_more` is about."""


def verdicts(
    differences: Mapping[Name, ArrayLike],
    sesoi: float | None = SESOI,
    alpha: float = ALPHA,
    power: float = POWER,
) -> dict[Name, Verdict]:
    """The verdicts of one pre-declared family: by comparison, `left - right` of each seed (S), NaN left out.

    All statements together are wrong with a chance of `alpha` at most (docs/statistics.md says under which
    conditions). `sesoi=None` asks for no equivalence: plain Holm, and `seeds_more` speaks of the default
    SESOI.
    """
    pairs = dict(zip(differences, all_paired(list(differences.values())), strict=True))
    p_K = [pair.p for pair in pairs.values()]
    if sesoi is None:
        adjusted_K, equivalence_K = holm(p_K), np.full(len(p_K), np.nan)
    else:
        p_equivalence_K = equivalence_ps(list(differences.values()), sesoi)
        adjusted_K, equivalence_K = holm_shared(p_K, p_equivalence_K)
    found = {}
    for (name, pair), p, q in zip(pairs.items(), adjusted_K.tolist(), equivalence_K.tolist(), strict=True):
        settles = SESOI if sesoi is None else sesoi
        found[name] = Verdict(
            statement=statement(pair.difference.estimate, p, q, alpha),
            pair=pair,
            p_adjusted=p,
            p_equivalence=q,
            detectable=detectable(differences[name], len(pairs), power, alpha),
            seeds_more=seeds_more(pair, settles, len(pairs), power, alpha),
            settles=settles,
        )
    return found


def statement(difference: float, p_adjusted: float, p_equivalence: float, alpha: float = ALPHA) -> Statement:
    """The word. A difference that is real and negligible is `equivalent`; a large p alone is `undecided`."""
    if p_equivalence <= alpha:
        return "equivalent"
    return verdict(difference, p_adjusted, alpha)


def verdict(
    difference: float, p_adjusted: float, alpha: float = ALPHA
) -> Literal["better", "worse", "undecided"]:
    """Without equivalence: a large p is no evidence of equality."""
    if p_adjusted <= alpha and difference != 0:
        return "better" if difference > 0 else "worse"
    return "undecided"


def seeds_more(pair: Paired, effect: float, comparisons: int, power: float, alpha: float) -> int | None:
    """Seeds to add to find `effect`, the SD taken as the true one; None where unknown or too many."""
    if pair.seeds < 2:
        return None
    needed = seeds_for(pair.sd, effect, comparisons, power, alpha)
    return None if needed is None else max(0, needed - pair.seeds)
