"""Learning curves over the budget, as figures."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.settings import Setting
from reports.stats import Floats
from reports.svg import (
    MOST_LINES,
    MUTED,
    WIDE,
    canvas,
    drawn,
    legend,
    legend_room,
    palette,
    panels,
    shortened,
)
from reports.wording import AXES, amount

MOST_ENDS = 18
"""Curves that have room for their names at their ends."""
SMALL = 2.4
"""Inches of a panel's width below which its texts are smaller."""


def budget_axis(figure: Figure, axes: Sequence[Axes], axis: str, end: float, ticks: int) -> None:
    """Scale and label the axis that ends at `end`."""
    places = [float(place) for place in MaxNLocator(ticks).tick_values(0, end) if place <= 1.03 * end]
    for each in axes:
        each.set_xticks(places, [amount(place) for place in places])
        each.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        each.set_xlim(0, 1.03 * end)
        each.set_ylim(-0.02, 1.02)
    # Without a computed layout matplotlib puts the label at a share of the height, which a tall figure's
    # tick labels reach; this is a twentieth of an inch.
    computed = figure.get_layout_engine() is not None
    place: dict[str, Any] = {} if computed else {"y": 0.05 / figure.get_figheight()}
    figure.supxlabel(AXES[axis] + (", nominal" if axis == "flops" else ""), fontsize=9, **place)


def curves(setting: Setting, table: pd.DataFrame, width: float) -> Figure:
    """Mean of each arm with its interval.

    Named at the right in the order of the ends if there is room for it, otherwise above.
    """
    colours, names = palette(list(setting.arms)), shortened(list(setting.arms))
    named = width == WIDE and len(setting.arms) <= MOST_ENDS
    figure, axes = canvas(4.2 if named else 4.2 + legend_room(list(names.values()), width), width)
    end = float(table["amount"].max())
    budget_axis(figure, [axes], str(table["axis"].iloc[0]), end, 8 if width == WIDE else 4)
    for arm, line in table.groupby("arm"):
        colour, name = colours[str(arm)], names[str(arm)]
        axes.fill_between(line["amount"], line["low"], line["high"], color=colour, alpha=0.13, linewidth=0)
        axes.plot(line["amount"], line["score"], color=colour, linewidth=2.2, label=name)
    ends = table.dropna(subset="score").groupby("arm").tail(1).sort_values("score")
    if named:
        name_ends(axes, ends, end, colours, names)
    else:
        legend(figure, axes.get_legend_handles_labels()[0])
    axes.set_ylabel(f"{setting.measure} (sampled)")
    return figure


def name_ends(
    axes: Axes, ends: pd.DataFrame, end: float, colours: Mapping[str, str], names: Mapping[str, str]
) -> None:
    """Each curve's name at the right, with a line to the curve's end."""
    for place, (_, row) in zip(apart(list(ends["score"]), 0.055), ends.iterrows(), strict=True):
        colour = colours[row["arm"]]
        axes.text(1.05 * end, place, names[row["arm"]], color=colour, va="center", weight="bold")
        axes.plot(
            [row["amount"], 1.045 * end],
            [row["score"], place],
            color=colour,
            linewidth=0.7,
            clip_on=False,
        )


def apart(values: Sequence[float], gap: float) -> list[float]:
    """Ascending `values` (0 to 1) moved as little as needed to lie `gap` apart and not above 1."""
    places: list[float] = []
    for value in values:
        places.append(max(value, places[-1] + gap) if places else value)
    ceiling = 1.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], ceiling)
        ceiling = places[i] - gap
    return places


def seed_curves(setting: Setting) -> pd.DataFrame:
    """Success of single runs over the budget: one row per evaluation, of the runs that are drawn."""
    ends = setting.curve.groupby("cell").tail(1).sort_values(["arm", "cell"])
    shown = [of.iloc[drawn(of["score"], MOST_LINES)] for _, of in ends.groupby("arm")]
    lines = [setting.lines[cell] for cell in pd.concat(shown)["cell"]]
    columns = ["arm", "seed", "state", setting.axis, "score"]
    return pd.DataFrame({name: np.concatenate([line[name] for line in lines]) for name in columns})


def curves_by_arm(setting: Setting, table: pd.DataFrame, seeds: pd.DataFrame, width: float) -> Figure:
    """A panel per arm: one line per seed, the mean, the other arms' means behind; unfinished runs dashed."""
    colours, names = palette(list(setting.arms)), shortened(list(setting.arms))
    figure, found = panels(len(setting.arms), width)
    small = found[0].get_position().width * width < SMALL
    axis = str(table["axis"].iloc[0])
    budget_axis(figure, found, axis, float(table["amount"].max()), 3 if small else 4)
    means = {str(arm): line[["amount", "score"]].to_numpy() for arm, line in table.groupby("arm")}
    lines: dict[tuple[str, bool], list[Floats]] = defaultdict(list)
    values = seeds[[axis, "score"]].to_numpy(dtype=float)
    by_run: dict[Any, Any] = seeds.groupby(["arm", "seed", "state"]).indices
    for (arm, _, state), places in by_run.items():
        lines[arm, state == "done"].append(values[places])
    for arm, axes in zip(setting.arms, found, strict=True):
        others = [line for other, line in means.items() if other != arm]
        axes.add_collection(LineCollection(others, colors=MUTED, linewidths=1.2, alpha=0.4, zorder=1))
        if arm in means:
            axes.plot(*means[arm].T, color=colours[arm], linewidth=2.4, zorder=4)
        for style, done in (("-", True), ("--", False)):
            thin: Any = {"linewidths": 0.9, "alpha": 0.5, "zorder": 2, "linestyles": style}
            axes.add_collection(LineCollection(lines[arm, done], colors=colours[arm], **thin))
        axes.set_title(names[arm], fontsize=8 if small else None)
    figure.supylabel(f"{setting.measure} (sampled)", x=0.008, fontsize=9)
    return figure
