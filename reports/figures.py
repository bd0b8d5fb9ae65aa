"""The report's figures. They draw what `reports.measured` holds, and compute nothing themselves."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, PercentFormatter

from reports.comparisons import Family
from reports.curves import curves, curves_by_arm, seed_curves
from reports.distributions import profile, survival
from reports.learning import THRESHOLD
from reports.measured import Measured
from reports.pooled import Pool, heat_map
from reports.settings import Setting
from reports.stats import Floats
from reports.svg import INK, MOST_DOTS, MUTED, STYLE, canvas, drawn, legend, palette, to_png, to_svg
from reports.tables import BUDGETED
from reports.wording import AXES, PHASE_NAMES, count, signed

ON_COLOUR: Any = {"color": "#10141a", "fontsize": 8}
"""Text that reads on the colours of phases."""


@dataclass(frozen=True)
class Picture:
    """A drawn figure."""

    name: str
    title: str
    svg: str
    png: bytes
    data: str
    """What is drawn, as CSV."""


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn."""

    title: str
    data: pd.DataFrame
    draw: Callable[[], Figure]


def pictures(setting: Setting, measured: Measured, comparisons: Family) -> dict[str, Picture]:
    """Every figure of a setting by kind; without a finished run there is none."""
    if setting.done.empty:
        return {}
    where = f"({setting.env}, model {setting.model})"
    with mpl.rc_context(STYLE):
        return {
            kind: drawn_as(f"{kind}-{setting.slug}", replace(each, title=f"{each.title} {where}"))
            for kind, each in drawings(setting, measured, comparisons).items()
        }


def has_pairs(family: Family) -> bool:
    """Whether there is a pair to draw."""
    return len(family.table) > 0 and bool(family.table["seeds"].gt(0).any())


def pooled_pictures(
    pool: Pool, table: pd.DataFrame, profiled: pd.DataFrame, comparisons: Family
) -> dict[str, Picture]:
    """The figures of several environments together.

    `table`: of `pooled.against_others`, `profiled`: of `pooled.profile_table`.
    """
    where = f"{count(len(pool.settings), 'environment')}, model {pool.model}"
    found = {}
    if table["difference"].notna().any():
        title = f"Each arm minus the mean of the others, by environment ({where})"
        found["heat"] = Drawing(title, table, partial(heat_map, table))
    if len(profiled):
        title = f"Performance profile: runs of all environments that end above a score ({where})"
        found["profile"] = Drawing(title, profiled, partial(profile, pool.contestants, profiled))
    if has_pairs(comparisons):
        title = f"Paired differences in final success over environments ({where})"
        found["forest"] = Drawing(title, comparisons.table, partial(forest, pool.contestants, comparisons))
    with mpl.rc_context(STYLE):
        return {kind: drawn_as(f"{kind}-pooled-{pool.model}", each) for kind, each in found.items()}


def drawn_as(name: str, drawing: Drawing) -> Picture:
    """The drawing as files."""
    figure, title = drawing.draw(), drawing.title
    return Picture(name, title, to_svg(figure, name, title), to_png(figure), to_csv(drawing.data))


def to_csv(frame: pd.DataFrame) -> str:
    """A figure's data in six digits."""
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.6g")


def drawings(setting: Setting, measured: Measured, comparisons: Family) -> dict[str, Drawing]:
    """What there is to draw, by kind."""
    arms, ends, phases = list(setting.arms), measured.final, measured.phases
    by_axis = {str(axis): table for axis, table in measured.curves.groupby("axis", sort=False)}
    seeds = seed_curves(setting)
    found = {
        "final": Drawing("Final success by algorithm, one dot a seed", ends, partial(final, setting, ends)),
        "seeds": Drawing(
            "Success over the budget, one line a seed",
            seeds,
            partial(curves_by_arm, setting, by_axis[setting.axis], seeds),
        ),
        "compute": Drawing(
            "Where the budget went, share of FLOPs by phase", phases, partial(compute, setting, phases)
        ),
    }
    for axis, table in by_axis.items():
        if table["success"].notna().any():
            title = f"Success over {AXES[axis]}, mean over seeds"
            found[f"curves-{axis}"] = Drawing(title, table, partial(curves, setting, table))
    if len(measured.profile):
        title = "Performance profile: runs that end above a score"
        found["profile"] = Drawing(title, measured.profile, partial(profile, arms, measured.profile))
    if len(measured.survival):
        title = f"Runs that have not reached a success of {THRESHOLD:g}"
        found["survival"] = Drawing(title, measured.survival, partial(survival, arms, measured.survival))
    if has_pairs(comparisons):
        rows = partial(forest, arms, comparisons)
        found["forest"] = Drawing("Paired differences in final success", comparisons.table, rows)
    return found


def intervals(axes: Axes, table: pd.DataFrame, mean: str, colours: Sequence[str]) -> None:
    """Each row's mean as a dot with its interval."""
    places = np.arange(len(table)) - 0.08
    axes.hlines(
        places, table["low"], table["high"], colors=colours, linewidth=2.4, capstyle="round", zorder=3
    )
    axes.scatter(table[mean], places, s=64, c=colours, linewidths=0, zorder=4)


def seeds(axes: Axes, values: Sequence[Floats], height: float, width: float, colours: Sequence[str]) -> None:
    """One dot a seed under each row's mean."""
    places = [y + height + spread(len(each), width) for y, each in enumerate(values)]
    shades = [colour for colour, each in zip(colours, values, strict=True) for _ in each]
    # Not clipped: SVG would say so at every dot.
    dots: Any = {"s": 6.25, "alpha": 0.65, "linewidths": 0, "zorder": 2, "clip_on": False}
    axes.scatter(np.concatenate(values), np.concatenate(places), c=shades, **dots)


def spread(count: int, width: float) -> Floats:
    """Vertical offsets that keep the dots of `count` seeds apart."""
    return np.linspace(-width, width, count) if count > 1 else np.zeros(count)


def seeds_drawn(values_S: "pd.Series[float]") -> Floats:
    """The values that are drawn, one a seed, those of missing runs left out."""
    found: Floats = np.asarray(values_S.dropna(), dtype=np.float64)
    return np.asarray(found[drawn(found, MOST_DOTS)])


def row_axis(axes: Axes, labels: Sequence[str]) -> None:
    """Named rows from the top down."""
    axes.set_yticks([])
    for y, label in enumerate(labels):  # a tick takes ten times as long as its text
        axes.text(-0.01, y, label, transform=axes.get_yaxis_transform(), ha="right", va="center")
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.spines["left"].set_visible(False)


def final(setting: Setting, table: pd.DataFrame) -> Figure:
    """Success by arm, best first."""
    colours = palette(list(setting.arms))
    figure, axes = canvas(0.95 + 0.46 * len(table))
    own = [colours[arm] for arm in table["arm"]]
    seeds(axes, [seeds_drawn(setting.finals[arm]) for arm in table["arm"]], 0.2, 0.07, own)
    intervals(axes, table, "final_success", own)
    rows = np.arange(len(table))
    axes.plot(
        table["greedy_success"], rows - 0.08, "D", markerfacecolor="none", markeredgecolor=INK, markersize=6
    )
    axes.vlines(table["start_success"], rows - 0.25, rows + 0.25, colors=MUTED, linewidth=1.5)
    row_axis(axes, [f"{row['arm']}\n({row['credit_unit']})" for _, row in table.iterrows()])
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("final success on the evaluation panel")
    entries = [
        axes.plot(
            [], [], "o-", color=MUTED, linewidth=2.4, markersize=8, label="sampled: mean, 95 % interval"
        )[0],
        axes.plot([], [], ".", color=MUTED, markersize=6, label="sampled: one seed")[0],
        axes.plot(
            [], [], "D", markerfacecolor="none", markeredgecolor=INK, markersize=6, label="greedy: mean"
        )[0],
        axes.plot([], [], "|", color=MUTED, markersize=11, markeredgewidth=1.5, label="at the start")[0],
    ]
    figure.legend(handles=entries, loc="outside upper right", ncols=4, handletextpad=0.4)
    return figure


def forest(arms: Sequence[str], family: Family) -> Figure:
    """Differences with intervals, one dot a seed, verdicts at the right."""
    table, colours = family.table, palette(arms)
    figure, axes = canvas(0.75 + 0.36 * len(table))
    axes.axvline(0, color=INK, linewidth=0.9)
    own = [colours.get(left, INK) for left in table["left"]]
    seeds(axes, [seeds_drawn(family.differences[label]) for label in table["label"]], 0.22, 0.06, own)
    intervals(axes, table, "difference", own)
    for y, verdict in enumerate(table["verdict"]):
        decided = verdict in ("better", "worse", "equivalent")
        axes.text(
            1.02,
            y,
            verdict,
            transform=axes.get_yaxis_transform(),
            verticalalignment="center",
            weight="bold" if decided else "normal",
        )
    row_axis(axes, list(table["label"]))
    seen = [*table["low"], *table["high"], *(d for values in family.differences.values() for d in values)]
    reach = max(0.1, min(1.0, 1.06 * float(np.nanmax(np.abs(seen)))))
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    axes.set_xlabel("← right arm better  ·  difference in final success, left − right  ·  left arm better →")
    return figure


def compute(setting: Setting, phases: pd.DataFrame) -> Figure:
    """Stacked shares of the nominal FLOPs inside the budget, by phase."""
    shares = phases.pivot(index="arm", columns="phase", values="share")
    arms = [arm for arm in setting.arms if arm in shares.index]
    # After the known phases, what a store of an older version calls its own.
    used = [
        phase for phase in dict.fromkeys([*BUDGETED, *shares]) if phase in shares and shares[phase].sum() > 0
    ]
    figure, axes = canvas(1.1 + 0.36 * len(arms))
    colours = {phase: phase_colours().get(phase, MUTED) for phase in used}
    ends = shares.loc[arms, used].fillna(0).astype(float).cumsum(axis=1)
    starts = ends.shift(axis=1, fill_value=0.0)
    for phase in used:
        edges = list(enumerate(zip(starts[phase], ends[phase], strict=True)))
        boxes = [[(a, y - 0.31), (b, y - 0.31), (b, y + 0.31), (a, y + 0.31)] for y, (a, b) in edges if a < b]
        axes.add_collection(PolyCollection(boxes, facecolors=colours[phase], linewidths=0))
        for y, (start, end) in edges:
            if end - start >= 0.045:
                percent = f"{100 * (end - start):.0f} %"
                axes.text((start + end) / 2, y, percent, ha="center", va="center", **ON_COLOUR)
    row_axis(axes, arms)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("share of nominal training FLOPs")
    entries = [Patch(color=colour, label=PHASE_NAMES.get(phase, phase)) for phase, colour in colours.items()]
    legend(figure, entries)
    return figure


def phase_colours() -> dict[str, str]:
    """Sampling in blues, scoring in greens, critic in purples, training in orange; dark text reads on all."""
    families = [("Blues", 4), ("Greens", 5), ("Purples", 2), ("Oranges", 3)]
    colours = [to_hex(mpl.colormaps[name]((i + 2) / (n + 4))) for name, n in families for i in range(n)]
    return dict(zip(BUDGETED, colours, strict=True))
