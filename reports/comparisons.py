"""Paired comparisons of arms, in families whose statements are adjusted together."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

import pandas as pd
from numpy.typing import NDArray

from reports import stats


class Scores(Protocol):
    """What is compared: the arms of a setting, or of several environments together."""

    @property
    def finals(self) -> pd.DataFrame:
        """Final success: seeds x arms, NaN if a run is missing."""

    @property
    def failed(self) -> pd.DataFrame:
        """Whether the algorithm broke the run: seeds x arms."""

    @property
    def collapsed(self) -> pd.DataFrame:
        """Whether the run collapsed or broke: seeds x arms."""

    @property
    def contestants(self) -> list[str]:
        """The arms that are compared with each other."""

    @property
    def contrasts(self) -> dict[str, dict[str, list[str]]]:
        """The declared contrasts."""

    @property
    def sesoi(self) -> float:
        """The smallest effect of interest."""

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds after which seeds may have ended."""

    def unit(self, arm: str) -> str:
        """An arm's credit unit."""


@dataclass(frozen=True)
class Family:
    """Comparisons that were declared together: one error rate covers all that is said about them.

    An exploratory family says nothing: its p values are for reading (Benjamini-Hochberg), not for verdicts.
    """

    name: str
    table: pd.DataFrame
    """One row per comparison, `left` minus `right`; `label` names it."""
    differences: dict[str, pd.Series]
    """Differences by seed, by label."""
    verdicts: dict[str, stats.Verdict]
    """By label; of an exploratory family only the numbers count."""
    pairs: Mapping[str, "Pair"]
    """The arms of both sides, by label."""


@dataclass(frozen=True)
class Pair:
    """The arms of both sides of a comparison, and how the table names the sides."""

    left: Sequence[str]
    right: Sequence[str]
    left_name: str
    right_name: str


def arm_pairs(pairs: Sequence[tuple[str, str]]) -> dict[str, Pair]:
    """One arm against another, by label."""
    return {f"{left} − {right}": Pair([left], [right], left, right) for left, right in pairs}


def compare_pairs(name: str, scores: Scores, pairs: Mapping[str, Pair], sesoi: float | None) -> Family:
    """A family of comparisons by label. A seed counts if every run of both sides has a score.

    `sesoi`: the smallest effect of interest, for likeness; None makes the family exploratory.
    """
    seeds = {label: paired_seeds(scores, pair) for label, pair in pairs.items()}
    sides = {label: sides_of(scores, pair, seeds[label]) for label, pair in pairs.items()}
    verdicts = stats.verdicts(sides, sesoi, looks=scores.looks)
    rows = [
        {"label": label, "left": pair.left_name, "right": pair.right_name, **row(verdicts[label])}
        | {"left_mean": mean(sides[label].left_SA), "right_mean": mean(sides[label].right_SB)}
        for label, pair in pairs.items()
    ]
    table = pd.DataFrame(rows)
    if pairs and sesoi is None:
        table["p_adjusted"] = stats.benjamini_hochberg(table["p"])
        table["verdict"] = "exploratory"
    differences = {label: pd.Series(sides[label].differences_S, index=seeds[label]) for label in pairs}
    return Family(name, table, differences, verdicts, pairs)


def paired_seeds(scores: Scores, pair: Pair) -> pd.Index:
    """The seeds on which every run of both sides has a score."""
    return scores.finals.reindex(columns=[*pair.left, *pair.right]).dropna().index


def sides_of(scores: Scores, pair: Pair, seeds: pd.Index) -> stats.Sides:
    """What both sides did on these seeds."""

    def of(table: pd.DataFrame, arms: Sequence[str]) -> NDArray[Any]:
        return table.reindex(columns=list(arms)).loc[seeds].to_numpy()

    both = (pair.left, pair.right)
    return stats.Sides(
        *(of(scores.finals, arms).astype(float) for arms in both),
        *(of(scores.failed, arms).astype(bool).any(axis=1) for arms in both),
        *(of(scores.collapsed, arms).astype(bool).any(axis=1) for arms in both),
    )


def mean(scores_SA: NDArray[Any]) -> float:
    """Mean over seeds and arms; NaN of none."""
    return float(scores_SA.mean()) if scores_SA.size else math.nan


def row(verdict: stats.Verdict) -> Mapping[str, object]:
    """What is known about one comparison; `reports.columns` says what the columns are."""
    pair, broken, outlook = verdict.pair, verdict.collapses, verdict.outlook
    found: dict[str, object] = {"seeds": pair.seeds, "wins": verdict.wins, "losses": verdict.losses}
    intervals = {
        "difference": pair.difference,
        "standardised": pair.standardised,
        "improvement": pair.improvement,
    }
    for name, interval in intervals.items():
        prefix = "" if name == "difference" else f"{name}_"
        found |= {name: interval.estimate, f"{prefix}low": interval.low, f"{prefix}high": interval.high}
    return found | {
        "at_least": verdict.at_least,
        "at_most": verdict.at_most,
        "verdict": verdict.word.value,
        "p": verdict.p,
        "p_adjusted": verdict.p_usually,
        "p_verdict": verdict.p_word,
        "p_alike": verdict.p_alike,
        "p_better": verdict.p_better,
        "p_equivalent": verdict.p_equivalent,
        "p_sign_flip": pair.p,
        "left_collapsed": broken.left,
        "right_collapsed": broken.right,
        "left_collapses_at_most": broken.left_at_most,
        "right_collapses_at_most": broken.right_at_most,
        "p_collapses": verdict.p_collapses,
        "left_failed": verdict.left_failed,
        "right_failed": verdict.right_failed,
        "without_failed": verdict.without_failed.value,
        "detectable": outlook.detectable,
        "settles": outlook.effect,
        "spread_known": outlook.spread_known,
        "planned": outlook.planned,
        "planned_low": outlook.planned_low,
        "planned_high": outlook.planned_high,
        "last_look": outlook.last_look,
    }


def contrast_family(scores: Scores) -> Family:
    """The declared contrasts: all arms of one side against all of the other."""
    pairs = {
        name: Pair(sides["left"], sides["right"], named(sides["left"]), named(sides["right"]))
        for name, sides in scores.contrasts.items()
        if all(sides.values())
    }
    return compare_pairs("declared contrasts", scores, pairs, scores.sesoi)


def named(arms: Sequence[str]) -> str:
    """A few arms by name, many by number."""
    return ", ".join(arms) if len(arms) <= 3 else f"{len(arms)} arms"


def unit_family(scores: Scores) -> Family:
    """The arms with step credit against those with token and those with trajectory credit."""
    units: dict[str, list[str]] = {}
    for arm in scores.contestants:
        units.setdefault(scores.unit(arm), []).append(arm)
    pairs = {
        f"step − {unit}": Pair(units["step"], units[unit], "step", unit)
        for unit in ("token", "trajectory")
        if "step" in units and unit in units
    }
    return compare_pairs("credit units, pooled", scores, pairs, scores.sesoi)


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
    return compare_pairs("step arms against the others", scores, arm_pairs(pairs), scores.sesoi)


def all_pairs_family(scores: Scores) -> Family:
    """Every pair of arms that have scores, the arm with the higher mean on the left; exploratory."""
    finals = scores.finals[scores.contestants].dropna(axis="columns", how="all")
    ranked = list(finals.mean().sort_values(ascending=False).index)
    return compare_pairs("all pairs", scores, arm_pairs(list(combinations(ranked, 2))), sesoi=None)
