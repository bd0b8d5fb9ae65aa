"""How what is compared depends on an option of the environment that a sweep turns (`sweep.dial`).

The declared contrasts are taken on each environment. Whether one rises with the dial is asked inside seeds:
a seed votes for *rises* if more pairs of settings of the dial are in that order than in the other (Kendall's
S), and a sign test counts the votes. It assumes nothing about the size of the differences, nor about the form
of the dependence; Holm's step-down covers all contrasts, as a family of its own.

Shape suffixes: S seeds, V settings of the dial in ascending order.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from harness.config.plain import targeted
from reports import stats
from reports.comparisons import Family, contrast_family
from reports.pooled import Pool
from reports.settings import Setting
from reports.svg import INK, WIDE, canvas, legend, legend_room, shortened

EFFECTS = ["label", "setting", "environment", "difference", "low", "high", "seeds", "verdict"]
TRENDS = ["label", "seeds", "change", "low", "high", "rises", "falls", "p", "p_adjusted", "trend"]
COLOURS = ("#0173b2", "#d55e00", "#029e73", "#cc78bc", "#de8f05", "#56b4e9")
"""Of contrasts, which are no arms: seaborn's colour-blind safe palette."""


@dataclass(frozen=True)
class Dial:
    """The contrasts against the dial."""

    option: str
    """Of the environment."""
    effects: pd.DataFrame
    """One row per contrast and setting of the dial: the paired difference there."""
    trends: pd.DataFrame
    """One row per contrast: does it rise or fall with the dial?"""


def dial_of(pool: Pool) -> Dial | None:
    """What a pool says about its sweep's dial; None if none was declared."""
    option = pool.settings[0].dial
    if not option:
        return None
    turned = sorted(pool.settings, key=lambda setting: setting_of(setting, option))
    families = [contrast_family(setting) for setting in turned]
    rows = [
        [row["label"], setting_of(each, option), each.env]
        + [row[column] for column in ("difference", "low", "high", "seeds", "verdict")]
        for each, family in zip(turned, families, strict=True)
        for row in family.table.to_dict("records")
    ]
    return Dial(option, pd.DataFrame(rows, columns=EFFECTS), trend_table(families, pool.looks))


def setting_of(setting: Setting, option: str) -> float:
    """Where the dial stands in this environment."""
    # Options at their defaults need not be in the cell's file.
    return float(getattr(targeted(setting.config["env"], "env"), option))


def trend_table(families: list[Family], looks: tuple[int, ...]) -> pd.DataFrame:
    """The trend of each contrast over the families of one setting of the dial each, in ascending order.

    `change`: from the lowest setting to the highest, mean over seeds that have all, with a t interval.
    """
    rows = []
    for label in dict.fromkeys(label for family in families for label in family.differences):
        by_place = [family.differences.get(label, pd.Series(dtype=float)) for family in families]
        difference_SV = pd.concat(by_place, axis=1, join="inner").dropna().sort_index().to_numpy(dtype=float)
        votes_S = trend_votes(difference_SV)
        rises, falls = map(int, stats.won_and_lost(votes_S))
        change = stats.t_interval(difference_SV[:, -1] - difference_SV[:, 0])
        p = float(stats.usually_p(votes_S, looks)) if len(votes_S) else np.nan
        rows.append([label, len(votes_S), change.estimate, change.low, change.high, rises, falls, p])
    table = pd.DataFrame(rows, columns=TRENDS[:-2])
    table["p_adjusted"] = stats.holm(table["p"])
    found = np.where(table["rises"] > table["falls"], "rises", "falls")
    table["trend"] = np.where(table["p_adjusted"] <= stats.ALPHA, found, "undecided")
    return table


def trend_votes(difference_SV: stats.Floats) -> stats.Counts:
    """By seed: 1 if its differences rise with the dial, -1 if they fall, else 0 (the sign of Kendall's S)."""
    pairs = combinations(range(difference_SV.shape[1]), 2)
    steps = [np.sign(stats.rounded(difference_SV[:, j] - difference_SV[:, i])) for i, j in pairs]
    return np.sign(np.sum(steps, axis=0, dtype=np.int64)) if steps else np.zeros(0, dtype=np.int64)


def dial_figure(dial: Dial, measure: str, width: float) -> Figure:
    """Each contrast's difference against the dial, intervals beside each other."""
    labels = list(dict.fromkeys(dial.effects["label"]))
    names = dict(zip(labels, labels, strict=True)) if width == WIDE else shortened(labels)
    places = sorted(set(dial.effects["setting"]))
    figure, axes = canvas(3.4 + legend_room(list(names.values()), width), width)
    axes.axhline(0, color=INK, linewidth=0.8)
    for number, label in enumerate(labels):
        line = dial.effects[dial.effects["label"] == label].dropna(subset="difference")
        x = np.array([places.index(each) for each in line["setting"]])
        x = x + 0.08 * (number - (len(labels) - 1) / 2)
        y, low, high = (line[name].to_numpy(dtype=float) for name in ("difference", "low", "high"))
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(x, y, color=colour, linewidth=1.4, marker="o", markersize=5, label=names[label])
        axes.vlines(x, low, high, color=colour, linewidth=1.4)
    axes.set_xticks(range(len(places)), [f"{place:g}" for place in places])
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_xlabel(f"env.{dial.option}")
    axes.set_ylabel(f"difference in final {measure}" if width == WIDE else "difference")
    legend(figure, axes.get_legend_handles_labels()[0])
    return figure
