"""What the page says about one setting, and about several environments together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports import comparisons, figures, pooled, provenance, wording
from reports.answer import EXPLORING, answer, leading, unfinished
from reports.comparisons import Family, Scores
from reports.dial import Dial, dial_of
from reports.equal import equal_table
from reports.limits import at_ceiling, at_floor
from reports.measured import Measured, measured
from reports.outcomes import lost_unequally
from reports.parts import Parts
from reports.pooled import Pool
from reports.settings import Setting
from reports.store import Store
from reports.svg import MOST_DOTS, MOST_LINES, palette, shortened
from reports.tuning import Tuning, tuning_of
from reports.tuning import methods as tuning_methods

MOST_ROWS = 40
"""Comparisons that a figure shows, and a table without being asked to."""


@dataclass(frozen=True)
class Compared:
    """The comparisons of arms, by family."""

    contrasts: Family
    units: Family
    question: Family
    pairs: Family
    answer: str
    """What the leading comparisons say."""
    unfinished: dict[str, tuple[int, int]]
    """Of the arms in them that lack scores, how many of how many seeds have one."""
    names: dict[str, str]
    """What stands for each arm if there is little room."""

    @property
    def families(self) -> list[Family]:
        """The families that have comparisons, the most pooled first."""
        every = (self.contrasts, self.units, self.question, self.pairs)
        return [family for family in every if len(family.table)]

    @property
    def leading(self) -> Family:
        """What the cards at the top say."""
        return leading_of(vars(self))

    @property
    def caution(self) -> str:
        """What the seeds can't tell, about the comparisons that the page leads with."""
        led = self.families[:-1] if len(self.families) > 1 else self.families
        return wording.caution(led, self.unfinished)


@dataclass(frozen=True)
class Section(Compared, Measured):
    """Everything the page says about one setting."""

    setting: Setting
    equal: pd.DataFrame
    """The leading comparisons on other terms."""
    figures: dict[str, figures.Picture]
    colours: dict[str, str]
    apart: str
    """Which arms the seeds tell from the best one."""
    dots: str
    lines: str
    """What captions add if not every seed is drawn."""
    warnings: list[str]
    methods: list[tuple[str, str]]
    tuning: Tuning | None

    @property
    def measure(self) -> str:
        """What runs are compared by."""
        return self.setting.measure

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
    dial: Dial | None
    profile: pd.DataFrame
    figures: dict[str, figures.Picture]
    colours: dict[str, str]
    dots: str
    """What captions add if not every seed is drawn."""

    @property
    def measure(self) -> str:
        """What runs are compared by."""
        return self.pool.measure


def families(scores: Scores) -> dict[str, Family]:
    """The families of comparisons, fields of `Compared`."""
    return {
        "contrasts": comparisons.contrast_family(scores),
        "units": comparisons.unit_family(scores),
        "question": comparisons.question_family(scores),
        "pairs": comparisons.all_pairs_family(scores),
    }


def leading_of(compared: Mapping[str, Family]) -> Family:
    """What a page leads with: the declared contrasts, or else the pooled credit units."""
    return compared["contrasts"] if len(compared["contrasts"].table) else compared["units"]


def answered(
    compared: Mapping[str, Family], scores: Scores, floor: Sequence[str], ceiling: Sequence[str]
) -> dict[str, Any]:
    """The other fields of `Compared`."""
    led = leading_of(compared)
    lacking = unfinished(scores.finals, led)
    text = answer(leading(led, floor, ceiling), lacking)
    if not len(led.table) and len(compared["pairs"].table):
        text = EXPLORING
    return {"answer": text, "unfinished": lacking, "names": shortened([str(arm) for arm in scores.finals])}


def section(store: Store, setting: Setting, parts: Parts) -> Section:
    """One setting's tables, figures and sentences; `parts` hears of figures that fail."""
    compared, tables = families(setting), measured(setting)
    tuning = tuning_of(store, setting, parts)
    # A tuning compares no arms, and has too many to draw.
    pictures = {}
    if not (tuning and tuning.searching):
        pictures = figures.pictures(setting, tables, drawn_of(compared), parts)
    floor, ceiling = at_floor(setting), at_ceiling(setting)
    found: dict[str, Any] = {**compared, **vars(tables), **answered(compared, setting, floor, ceiling)}
    return Section(
        equal=equal_table(setting, leading_of(compared)),
        **found,
        setting=setting,
        figures=pictures | (tuning.figures if tuning else {}),
        colours=palette(list(setting.arms)),
        apart=wording.apart_text(list(tables.final["arm"]) if len(tables.final) else [], compared["pairs"]),
        dots=wording.thinned(len(setting.finals), MOST_DOTS),
        lines=wording.thinned(len(setting.finals), MOST_LINES),
        warnings=[
            *provenance.warnings(store, setting),
            *lost_unequally(tables.outcomes),
            *provenance.stuck(setting, floor, ceiling),
        ],
        methods=methods(store, setting, tuning),
        tuning=tuning,
    )


def methods(store: Store, setting: Setting, tuning: Tuning | None) -> list[tuple[str, str]]:
    """How the numbers came about: term and description."""
    found = provenance.methods(store, setting)
    if tuning is None:
        return found
    if tuning.searching:
        found = [(term, text) for term, text in found if term not in provenance.COMPARING]
    return tuning_methods(tuning) + found


def drawn_of(compared: dict[str, Family]) -> Family:
    """The family that the forest shows: the first that has comparisons, and no more than can be read."""
    found = [compared[name] for name in ("contrasts", "question", "pairs")]
    fitting = (family for family in found if 0 < len(family.table) <= MOST_ROWS)
    return next(fitting, compared["units"])


def everywhere(pool: Pool, arms_of: Callable[[Setting], list[str]]) -> list[str]:
    """The arms that are named in every environment."""
    by_place = [set(arms_of(setting)) for setting in pool.settings]
    return [arm for arm in pool.contestants if all(arm in arms for arms in by_place)]


def overall(pool: Pool, parts: Parts) -> Overall:
    """The tables, figures and comparisons of several environments together."""
    compared, table, profile = families(pool), pooled.against_others(pool), pooled.profile_table(pool)
    dial = dial_of(pool)
    floor, ceiling = (everywhere(pool, of) for of in (at_floor, at_ceiling))
    found: dict[str, Any] = {**compared, **answered(compared, pool, floor, ceiling)}
    return Overall(
        **found,
        pool=pool,
        final=pooled.final_table(pool),
        against_others=table,
        dial=dial,
        profile=profile,
        figures=figures.pooled_pictures(pool, table, profile, dial, drawn_of(compared), parts),
        colours=palette(pool.contestants),
        dots=wording.thinned(len(pool.finals), MOST_DOTS),
    )
