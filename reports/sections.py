"""What the page says about one setting, and about several environments together."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports import comparisons, figures, pooled, wording
from reports.comparisons import Family, Scores
from reports.measured import Measured, measured
from reports.parts import Parts
from reports.pooled import Pool
from reports.settings import Setting
from reports.store import Store
from reports.svg import MOST_DOTS, MOST_LINES, palette
from reports.tuning import Tuning, tuning_of
from reports.tuning import methods as tuning_methods

MOST_ROWS = 40
"""Comparisons that a figure shows."""


@dataclass(frozen=True)
class Compared:
    """The comparisons of arms, by family."""

    contrasts: Family
    units: Family
    question: Family
    pairs: Family

    @property
    def families(self) -> list[Family]:
        """The families that have comparisons, the most pooled first."""
        every = (self.contrasts, self.units, self.question, self.pairs)
        return [family for family in every if len(family.table)]

    @property
    def leading(self) -> Family:
        """What the cards at the top say: the declared contrasts, or else the pooled credit units."""
        return self.contrasts if len(self.contrasts.table) else self.units

    @property
    def caution(self) -> str:
        """What the seeds can't tell, about the comparisons that the page leads with."""
        return wording.caution(self.families[:-1] if len(self.families) > 1 else self.families)


@dataclass(frozen=True)
class Section(Compared, Measured):
    """Everything the page says about one setting."""

    setting: Setting
    figures: dict[str, figures.Picture]
    colours: dict[str, str]
    dots: str
    lines: str
    """What captions add where not every seed is drawn."""
    warnings: list[str]
    methods: list[tuple[str, str]]
    tuning: Tuning | None

    @property
    def caution(self) -> str:
        """What the seeds can't tell, or what a tuning must not be read as."""
        return self.tuning.caution if self.tuning and self.tuning.searching else super().caution


@dataclass(frozen=True)
class Overall(Compared):
    """Everything the page says about several environments together."""

    pool: Pool
    final: pd.DataFrame
    against_others: pd.DataFrame
    profile: pd.DataFrame
    figures: dict[str, figures.Picture]
    colours: dict[str, str]
    dots: str
    """What captions add where not every seed is drawn."""


def families(scores: Scores) -> dict[str, Family]:
    """The fields of `Compared`."""
    return {
        "contrasts": comparisons.contrast_family(scores),
        "units": comparisons.unit_family(scores),
        "question": comparisons.question_family(scores),
        "pairs": comparisons.all_pairs_family(scores),
    }


def section(store: Store, setting: Setting, parts: Parts) -> Section:
    """One setting's tables, figures and sentences; `parts` hears of figures that fail."""
    compared, tables = families(setting), measured(setting)
    tuning = tuning_of(store, setting, parts)
    # A tuning compares no arms, and has too many to draw.
    pictures = {}
    if not (tuning and tuning.searching):
        pictures = figures.pictures(setting, tables, drawn_of(compared), parts)
    found: dict[str, Any] = {**compared, **vars(tables)}
    return Section(
        **found,
        setting=setting,
        figures=pictures | (tuning.figures if tuning else {}),
        colours=palette(list(setting.arms)),
        dots=wording.thinned(len(setting.finals), MOST_DOTS),
        lines=wording.thinned(len(setting.finals), MOST_LINES),
        warnings=wording.warnings(store, setting),
        methods=methods(store, setting, tuning),
        tuning=tuning,
    )


def methods(store: Store, setting: Setting, tuning: Tuning | None) -> list[tuple[str, str]]:
    """How the numbers came about: term and description."""
    found = wording.methods(store, setting)
    if tuning is None:
        return found
    if tuning.searching:
        found = [(term, text) for term, text in found if term not in wording.COMPARING]
    return tuning_methods(tuning) + found


def drawn_of(compared: dict[str, Family]) -> Family:
    """The family that the forest shows: the first that has comparisons, and no more than can be read."""
    found = [compared[name] for name in ("contrasts", "question", "pairs")]
    fitting = (family for family in found if 0 < len(family.table) <= MOST_ROWS)
    return next(fitting, compared["units"])


def overall(pool: Pool, parts: Parts) -> Overall:
    """The tables, figures and comparisons of several environments together."""
    compared, table, profile = families(pool), pooled.against_others(pool), pooled.profile_table(pool)
    return Overall(
        **compared,
        pool=pool,
        final=pooled.final_table(pool),
        against_others=table,
        profile=profile,
        figures=figures.pooled_pictures(pool, table, profile, drawn_of(compared), parts),
        colours=palette(pool.contestants),
        dots=wording.thinned(len(pool.finals), MOST_DOTS),
    )
