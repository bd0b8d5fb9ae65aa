"""Learning curves over the budget, as figures."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.settings import Setting
from reports.svg import MUTED, canvas, palette
from reports.wording import AXES, amount


def budget_axis(figure: Figure, axes: Sequence[Axes], axis: str, end: float, ticks: int) -> None:
    """Scale and label the axis that ends at `end`."""
    for each in axes:
        each.set_ylim(-0.02, 1.02)
        each.set_xlim(0, 1.03 * end)
        each.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))
        each.xaxis.set_major_locator(MaxNLocator(ticks))
    figure.supxlabel(AXES[axis] + (", nominal" if axis == "flops" else ""), fontsize=9)


def curves(setting: Setting, table: pd.DataFrame) -> Figure:
    """Mean of each arm with its interval, named at the right in the order of the ends."""
    colours = palette(list(setting.arms))
    figure, (axes,) = canvas(4.2)
    end = float(table["amount"].max())
    budget_axis(figure, [axes], str(table["axis"].iloc[0]), end, 8)
    for arm, line in table.groupby("arm"):
        colour = colours[str(arm)]
        axes.fill_between(line["amount"], line["low"], line["high"], color=colour, alpha=0.13, linewidth=0)
        axes.plot(line["amount"], line["success"], color=colour, linewidth=2.2)
    ends = table.dropna(subset="success").groupby("arm").tail(1).sort_values("success")
    for place, (_, row) in zip(apart(list(ends["success"]), 0.055), ends.iterrows(), strict=True):
        axes.annotate(
            row["arm"],
            (row["amount"], row["success"]),
            xytext=(1.05 * end, place),
            color=colours[row["arm"]],
            va="center",
            weight="bold",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colours[row["arm"]], "linewidth": 0.7, "shrinkB": 0},
        )
    axes.set_ylabel("success (sampled)")
    return figure


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


def curves_by_arm(setting: Setting, table: pd.DataFrame) -> Figure:
    """A panel an arm: one line a seed, the mean, and the other arms' means behind; unfinished runs dashed."""
    colours, columns = palette(list(setting.arms)), min(3, len(setting.arms))
    rows = -(-len(setting.arms) // columns)
    figure, panels = canvas(0.4 + 2.0 * rows, rows, columns)
    axis = str(table["axis"].iloc[0])
    budget_axis(figure, panels, axis, float(table["amount"].max()), 4)
    means = {str(arm): line for arm, line in table.groupby("arm")}
    for arm, axes in zip(setting.arms, panels, strict=False):
        for other, line in means.items():
            mine = other == arm
            axes.plot(
                line["amount"],
                line["success"],
                color=colours[arm] if mine else MUTED,
                linewidth=2.4 if mine else 1.2,
                alpha=1 if mine else 0.4,
                zorder=4 if mine else 1,
            )
        for _, run in setting.curve[setting.curve["arm"] == arm].groupby("cell"):
            style = "-" if (run["state"] == "done").all() else "--"
            axes.plot(run[axis], run["success"], style, color=colours[arm], linewidth=0.9, alpha=0.5)
        axes.set_title(arm)
    for axes in panels[len(setting.arms) :]:
        axes.set_visible(False)
    figure.supylabel("success (sampled)", fontsize=9)
    return figure
