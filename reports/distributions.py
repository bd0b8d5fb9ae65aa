"""How the scores of runs are spread, and when they cross a threshold, as figures."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from reports.learning import THRESHOLD
from reports.svg import canvas, legend, legend_room, palette, shortened


def profile(arms: Sequence[str], table: pd.DataFrame, measure: str, width: float) -> Figure:
    """Share of runs that end above a score (performance profile)."""
    figure, axes = steps(arms, table, "score", "above", width)
    axes.set_xlabel(f"final {measure}")
    axes.set_ylabel("share of runs above it")
    return figure


def survival(arms: Sequence[str], table: pd.DataFrame, width: float) -> Figure:
    """Kaplan-Meier's share of runs that have not reached the threshold yet."""
    figure, axes = steps(arms, table, "budget", "below", width)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("share of the budget spent")
    axes.set_ylabel(f"share of runs below {THRESHOLD:g}")
    return figure


def steps(arms: Sequence[str], table: pd.DataFrame, x: str, y: str, width: float) -> tuple[Figure, Axes]:
    """One step function per arm, both axes from 0 to 1."""
    colours, names = palette(arms), shortened(arms)
    figure, axes = canvas(3.4 + legend_room(list(names.values()), width), width)
    for arm, line in table.groupby("arm"):
        name = names[str(arm)]
        axes.step(line[x], line[y], where="post", color=colours[str(arm)], linewidth=2, label=name)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    legend(figure, axes.get_legend_handles_labels()[0])
    return figure, axes
