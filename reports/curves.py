"""Learning curves over the budget, as figures."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports import tables
from reports.svg import MUTED, canvas, palette
from reports.tables import Setting
from reports.wording import amount


def budget_axis(figure: Figure, axes: Sequence[Axes], setting: Setting, ticks: int) -> float:
    """Label the budget axis; returns the limit."""
    limit, axis = float(setting.config["budget"]["limit"]), str(setting.config["budget"]["axis"])
    for each in axes:
        each.set_ylim(-0.02, 1.02)
        each.set_xlim(0, 1.03 * limit)
        each.xaxis.set_major_formatter(FuncFormatter(lambda value, _: amount(value)))
        each.xaxis.set_major_locator(MaxNLocator(ticks))
    figure.supxlabel({"flops": "training FLOPs (nominal)"}.get(axis, axis.replace("_", " ")), fontsize=9)
    return limit


def curves(setting: Setting) -> Figure:
    """Mean of each arm with its interval, named at the right in the order of the ends."""
    table, colours = tables.curve_table(setting), palette(list(setting.arms))
    figure, (axes,) = canvas(4.2)
    limit = budget_axis(figure, [axes], setting, 8)
    for arm, line in table.groupby("arm"):
        colour = colours[str(arm)]
        axes.fill_between(
            line["fraction"] * limit, line["low"], line["high"], color=colour, alpha=0.13, linewidth=0
        )
        axes.plot(line["fraction"] * limit, line["success"], color=colour, linewidth=2.2)
    ends = table[table["fraction"] == 1].sort_values("success")
    for place, (_, row) in zip(apart(list(ends["success"]), 0.055), ends.iterrows(), strict=True):
        axes.annotate(
            row["arm"],
            (limit, row["success"]),
            xytext=(1.05 * limit, place),
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


def curves_by_arm(setting: Setting) -> Figure:
    """A panel an arm: one line a seed, the mean, and the other arms' means behind; unfinished runs dashed."""
    table, colours, columns = (
        tables.curve_table(setting),
        palette(list(setting.arms)),
        min(3, len(setting.arms)),
    )
    rows = -(-len(setting.arms) // columns)
    figure, panels = canvas(0.4 + 2.0 * rows, rows, columns)
    limit = budget_axis(figure, panels, setting, 4)
    means = {str(arm): line for arm, line in table.groupby("arm")}
    for arm, axes in zip(setting.arms, panels, strict=False):
        for other, line in means.items():
            mine = other == arm
            axes.plot(
                line["fraction"] * limit,
                line["success"],
                color=colours[arm] if mine else MUTED,
                linewidth=2.4 if mine else 1.2,
                alpha=1 if mine else 0.4,
                zorder=4 if mine else 1,
            )
        for _, run in setting.curve[setting.curve["arm"] == arm].groupby("cell"):
            line_style = "-" if (run["state"] == "done").all() else "--"
            axes.plot(
                run["spent"] * limit, run["success"], line_style, color=colours[arm], linewidth=0.9, alpha=0.5
            )
        axes.set_title(arm)
    for axes in panels[len(setting.arms) :]:
        axes.set_visible(False)
    figure.supylabel("success (sampled)", fontsize=9)
    return figure
