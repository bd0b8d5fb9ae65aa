"""Learning curves over the budget, as figures."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.settings import Setting
from reports.svg import MUTED, canvas, drawn, palette
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
        colour = colours[row["arm"]]
        axes.text(1.05 * end, place, row["arm"], color=colour, va="center", weight="bold")
        axes.plot(
            [row["amount"], 1.045 * end],
            [row["success"], place],
            color=colour,
            linewidth=0.7,
            clip_on=False,
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


def seed_curves(setting: Setting) -> pd.DataFrame:
    """Success of single runs over the budget: one row an evaluation, of the runs that are drawn."""
    rows = []
    for arm in setting.arms:
        runs = setting.runs[(setting.runs["arm"] == arm) & setting.runs["cell"].isin(setting.lines.keys())]
        runs = runs.sort_values("cell")
        ends = [setting.lines[cell]["success"][-1] for cell in runs["cell"]]
        for run in runs.iloc[drawn(ends)].to_dict("records"):
            line = setting.lines[run["cell"]]
            columns = {"state": run["state"], setting.axis: line[setting.axis], "success": line["success"]}
            rows.append(pd.DataFrame({"arm": arm, "seed": run["seed"], **columns}))
    return pd.concat(rows, ignore_index=True)


def curves_by_arm(setting: Setting, table: pd.DataFrame, seeds: pd.DataFrame) -> Figure:
    """A panel an arm: one line a seed, the mean, and the other arms' means behind; unfinished runs dashed."""
    colours, columns = palette(list(setting.arms)), min(3, len(setting.arms))
    rows = -(-len(setting.arms) // columns)
    figure, panels = canvas(0.4 + 2.0 * rows, rows, columns)
    axis = str(table["axis"].iloc[0])
    budget_axis(figure, panels, axis, float(table["amount"].max()), 4)
    means = {str(arm): line[["amount", "success"]].to_numpy() for arm, line in table.groupby("arm")}
    runs = {arm: list(of.groupby("seed")) for arm, of in seeds.groupby("arm")}
    for arm, axes in zip(setting.arms, panels, strict=False):
        others = [line for other, line in means.items() if other != arm]
        axes.add_collection(LineCollection(others, colors=MUTED, linewidths=1.2, alpha=0.4, zorder=1))
        if arm in means:
            axes.plot(*means[arm].T, color=colours[arm], linewidth=2.4, zorder=4)
        for style, done in (("-", True), ("--", False)):
            lines = [
                run[[axis, "success"]].to_numpy()
                for _, run in runs.get(arm, [])
                if (run["state"].iloc[0] == "done") == done
            ]
            thin = {"linewidths": 0.9, "alpha": 0.5, "zorder": 2}
            axes.add_collection(LineCollection(lines, colors=colours[arm], linestyles=style, **thin))
        axes.set_title(arm)
    for axes in panels[len(setting.arms) :]:
        axes.set_visible(False)
    figure.supylabel("success (sampled)", fontsize=9)
    return figure
