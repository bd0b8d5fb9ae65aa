"""Paired comparisons of arms, in families whose statements are adjusted together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol

import pandas as pd

from reports import stats


class Scores(Protocol):
    """What is compared: the arms of a setting, or of several environments together."""

    @property
    def finals(self) -> pd.DataFrame:
        """Final success: seeds x arms."""

    @property
    def contestants(self) -> list[str]:
        """The arms that are compared with each other."""

    @property
    def contrasts(self) -> dict[str, dict[str, list[str]]]:
        """The declared contrasts."""

    @property
    def sesoi(self) -> float:
        """The smallest effect of interest."""

    def unit(self, arm: str) -> str:
        """An arm's credit unit."""


@dataclass(frozen=True)
class Family:
    """Comparisons that were declared together: one error rate covers all that is said about them.

    An exploratory family says nothing: its p values are for reading (Benjamini-Hochberg), not for verdicts.
    """

    name: str
    table: pd.DataFrame
    """One row a comparison, `left` minus `right`; `label` names it."""
    differences: dict[str, pd.Series]
    """Differences by seed, by label."""


def compare_columns(
    name: str, values: pd.DataFrame, pairs: Sequence[tuple[str, str]], sesoi: float | None
) -> Family:
    """A family of pairs of columns of `values` (seeds x columns), `left` minus `right`.

    `sesoi`: the smallest effect of interest, for equivalence; None makes the family exploratory.
    """
    differences = {f"{left} − {right}": (values[left] - values[right]).dropna() for left, right in pairs}
    verdicts = stats.verdicts(differences, sesoi)
    table = pd.DataFrame(
        [
            {"label": label, "left": left, "right": right, **row(verdicts[label])}
            | {f"{side}_mean": values.loc[differences[label].index, column].mean()
               for side, column in (("left", left), ("right", right))}
            for label, (left, right) in zip(differences, pairs, strict=True)
        ]
    )  # fmt: skip
    if pairs and sesoi is None:
        table["p_adjusted"] = stats.benjamini_hochberg(table["p"])
        table["verdict"] = "exploratory"
    return Family(name, table, differences)


def row(verdict: stats.Verdict) -> Mapping[str, object]:
    """What is known about one comparison."""
    pair = verdict.pair
    found: dict[str, object] = {"seeds": pair.seeds}
    intervals = {
        "difference": pair.difference,
        "standardised": pair.standardised,
        "improvement": pair.improvement,
    }
    for name, interval in intervals.items():
        prefix = "" if name == "difference" else f"{name}_"
        found |= {name: interval.estimate, f"{prefix}low": interval.low, f"{prefix}high": interval.high}
    return found | {
        "p": pair.p,
        "p_adjusted": verdict.p_adjusted,
        "p_equivalence": verdict.p_equivalence,
        "verdict": verdict.statement,
        "detectable": verdict.detectable,
        "seeds_more": verdict.seeds_more,
        "settles": verdict.settles,
    }


def contrast_family(scores: Scores) -> Family:
    """The declared contrasts: means over the arms of both sides, seed by seed.

    A seed counts where every arm of both sides has a score.
    """
    finals = scores.finals
    declared = {name: sides for name, sides in scores.contrasts.items() if all(sides.values())}
    means = {
        f"{name}, {side}": finals.reindex(columns=arms).mean(axis=1, skipna=False)
        for name, sides in declared.items()
        for side, arms in sides.items()
    }
    pairs = [(f"{name}, left", f"{name}, right") for name in declared]
    family = compare_columns("declared contrasts", pd.DataFrame(means), pairs, scores.sesoi)
    if not declared:
        return family
    names = {side: [named(sides[side]) for sides in declared.values()] for side in ("left", "right")}
    differences = dict(zip(declared, family.differences.values(), strict=True))
    return Family(family.name, family.table.assign(label=list(declared), **names), differences)


def named(arms: Sequence[str]) -> str:
    """A few arms by name, many by number."""
    return ", ".join(arms) if len(arms) <= 3 else f"{len(arms)} arms"


def unit_family(scores: Scores) -> Family:
    """Step credit against token and trajectory credit: means over the arms of a unit, seed by seed.

    A seed counts where every arm of both units has a score.
    """
    finals = scores.finals
    units: dict[str, list[str]] = {}
    for arm in scores.contestants:
        units.setdefault(scores.unit(arm), []).append(arm)
    means = pd.DataFrame(
        {unit: finals.reindex(columns=arms).mean(axis=1, skipna=False) for unit, arms in units.items()}
    )
    pairs = [("step", unit) for unit in ("token", "trajectory") if "step" in units and unit in units]
    return compare_columns("credit units, pooled", means, pairs, scores.sesoi)


def question_family(scores: Scores) -> Family:
    """Every arm with step credit against every arm with token or trajectory credit."""
    arms = scores.contestants
    pairs = [
        (left, right)
        for unit in ("token", "trajectory")
        for right in arms
        for left in arms
        if scores.unit(left) == "step" and scores.unit(right) == unit
    ]
    return compare_columns("step arms against the others", scores.finals, pairs, scores.sesoi)


def all_pairs_family(scores: Scores) -> Family:
    """Every pair of arms that have scores, the arm with the higher mean on the left; exploratory."""
    finals = scores.finals[scores.contestants].dropna(axis="columns", how="all")
    ranked = list(finals.mean().sort_values(ascending=False).index)
    return compare_columns("all pairs", finals, list(combinations(ranked, 2)), sesoi=None)
