"""The report's figures. They draw what `reports.measured` holds, and compute nothing themselves."""

from collections.abc import Callable, Mapping, Sequence
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
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from harness.ledger import Phase
from reports.comparisons import Family
from reports.curves import curves, curves_by_arm, seed_curves
from reports.dial import Dial, dial_figure
from reports.distributions import profile, survival
from reports.learning import THRESHOLD
from reports.measured import Measured
from reports.parts import Parts
from reports.pooled import Pool, heat_map
from reports.settings import Setting
from reports.stats import Floats
from reports.svg import (
    INK,
    MOST_DOTS,
    MUTED,
    NARROW,
    WIDE,
    canvas,
    drawn,
    legend,
    legend_room,
    palette,
    shortened,
    styled,
    to_png,
    to_svg,
)  # fmt: skip
from reports.tables import BUDGETED
from reports.wording import AXES, PHASE_NAMES, count, signed

PHASE_FAMILIES = {
    "Blues": (Phase.prefill_new, Phase.prefill_cached, Phase.decode, Phase.decode_branch),
    "Greens": (
        *(Phase.score_sampled, Phase.branch_scoring, Phase.score_reference),
        *(Phase.column_scoring, Phase.ratio_centre),
    ),
    "Purples": (Phase.critic_forward, Phase.critic_train),
    "Oranges": (Phase.actor_train, Phase.environment, Phase.credit),
}
"""Matplotlib's colour map of phases that are alike. A phase that none has is drawn in grey."""
MOST_TALL = 12
"""Arms whose rows are tall enough for a name of two lines."""
ABOVE = 0.4
"""How far above its row a name stands, in rows."""
ON_COLOUR: Any = {"color": "#10141a", "fontsize": 8}
"""Text that reads on the colours of phases."""


@dataclass(frozen=True)
class Picture:
    """A drawn figure."""

    name: str
    title: str
    svg: str
    narrow: str
    """The same for a phone's screen, also SVG."""
    png: bytes
    data: str
    """What is drawn, as CSV."""


@dataclass(frozen=True)
class Drawing:
    """A figure to be drawn."""

    title: str
    data: pd.DataFrame
    names: Sequence[str]
    """The arms that it may have to shorten."""
    draw: Callable[[float], Figure]
    """Draws it this many inches wide."""


def pictures(setting: Setting, measured: Measured, comparisons: Family, parts: Parts) -> dict[str, Picture]:
    """Every figure of a setting by kind; without a finished run there is none."""
    if setting.done.empty:
        return {}
    where = f"({setting.env}, model {setting.model})"
    named = {
        kind: replace(each, title=f"{each.title} {where}")
        for kind, each in drawings(setting, measured, comparisons).items()
    }
    return all_drawn(named, setting.slug, parts)


def has_pairs(family: Family) -> bool:
    """Whether there is a pair to draw."""
    return len(family.table) > 0 and bool(family.table["seeds"].gt(0).any())


def pooled_pictures(
    pool: Pool,
    table: pd.DataFrame,
    profiled: pd.DataFrame,
    dial: Dial | None,
    comparisons: Family,
    parts: Parts,
) -> dict[str, Picture]:
    """The figures of several environments together.

    `table`: of `pooled.against_others`, `profiled`: of `pooled.profile_table`.
    """
    where, arms = f"{count(len(pool.settings), 'environment')}, model {pool.model}", pool.contestants
    found = {}
    if table["difference"].notna().any():
        title = f"Each arm minus the mean of the others, by environment ({where})"
        found["heat"] = Drawing(title, table, arms, partial(heat_map, table))
    if dial and dial.effects["difference"].notna().any():
        title = f"Paired differences in final {pool.measure} against env.{dial.option} ({where})"
        draw = partial(dial_figure, dial, pool.measure)
        found["dial"] = Drawing(title, dial.effects, list(dial.trends["label"]), draw)
    if len(profiled):
        title = f"Performance profile: runs of all environments that end above a score ({where})"
        found["profile"] = Drawing(title, profiled, arms, partial(profile, arms, profiled, pool.measure))
    if has_pairs(comparisons):
        title = f"Paired differences in final {pool.measure} over environments ({where})"
        rows = partial(forest, arms, comparisons, pool.measure)
        found["forest"] = Drawing(title, comparisons.table, arms, rows)
    return all_drawn(found, f"pooled-{pool.model}", parts)


def all_drawn(drawings: Mapping[str, Drawing], slug: str, parts: Parts) -> dict[str, Picture]:
    """Drawings as pictures by kind, but for those that fail."""
    made = {
        kind: parts.made(f"Figure “{each.title}”", partial(drawn_as, f"{kind}-{slug}", each), None)
        for kind, each in drawings.items()
    }
    return {kind: picture for kind, picture in made.items() if picture}


def drawn_as(name: str, drawing: Drawing) -> Picture | None:
    """The drawing as files."""
    title, names = drawing.title, drawing.names
    with styled():
        figure = drawing.draw(WIDE)
        svg, png = to_svg(figure, name, title, names), to_png(figure)
        narrow = to_svg(drawing.draw(NARROW), f"{name}-narrow", title, names)
    return Picture(name, title, svg, narrow, png, to_csv(drawing.data))


def to_csv(frame: pd.DataFrame) -> str:
    """A figure's data in six digits."""
    return frame.to_csv(index=False, lineterminator="\n", float_format="%.6g")


def drawings(setting: Setting, measured: Measured, comparisons: Family) -> dict[str, Drawing]:
    """What there is to draw, by kind."""
    arms, ends, phases = list(setting.arms), measured.final, measured.phases
    by_axis = {str(axis): table for axis, table in measured.curves.groupby("axis", sort=False)}
    seeds, measure = seed_curves(setting), setting.measure
    found = {
        "final": Drawing(
            f"Final {measure} by algorithm, one dot per seed", ends, arms, partial(final, setting, ends)
        ),
        "seeds": Drawing(
            f"{measure.capitalize()} over the budget, one line per seed",
            seeds,
            arms,
            partial(curves_by_arm, setting, by_axis[setting.axis], seeds),
        ),
        "compute": Drawing(
            "Where the budget went, share of FLOPs by phase", phases, arms, partial(compute, setting, phases)
        ),
    }
    for axis, table in by_axis.items():
        if table["score"].notna().any():
            title = f"{measure.capitalize()} over {AXES[axis]}, mean over seeds"
            found[f"curves-{axis}"] = Drawing(title, table, arms, partial(curves, setting, table))
    if len(measured.profile):
        title = "Performance profile: runs that end above a score"
        draw = partial(profile, arms, measured.profile, measure)
        found["profile"] = Drawing(title, measured.profile, arms, draw)
    if len(measured.survival):
        title = f"Runs that have not reached a {measure} of {THRESHOLD:g}"
        found["survival"] = Drawing(
            title, measured.survival, arms, partial(survival, arms, measured.survival)
        )
    if has_pairs(comparisons):
        title, rows = f"Paired differences in final {measure}", partial(forest, arms, comparisons, measure)
        found["forest"] = Drawing(title, comparisons.table, arms, rows)
    return found


def intervals(axes: Axes, table: pd.DataFrame, mean: str, colours: Sequence[str]) -> None:
    """Each row's mean as a dot with its interval."""
    places = np.arange(len(table)) - 0.08
    axes.hlines(
        places, table["low"], table["high"], colors=colours, linewidth=2.4, capstyle="round", zorder=3
    )
    axes.scatter(table[mean], places, s=64, c=colours, linewidths=0, zorder=4)


def seeds(axes: Axes, values: Sequence[Floats], height: float, width: float, colours: Sequence[str]) -> None:
    """One dot per seed under each row's mean."""
    places = [y + height + spread(len(each), width) for y, each in enumerate(values)]
    shades = [colour for colour, each in zip(colours, values, strict=True) for _ in each]
    # Not clipped: SVG would say so at every dot.
    dots: Any = {"s": 6.25, "alpha": 0.65, "linewidths": 0, "zorder": 2, "clip_on": False}
    axes.scatter(np.concatenate(values), np.concatenate(places), c=shades, **dots)


def spread(count: int, width: float) -> Floats:
    """Vertical offsets that keep the dots of `count` seeds apart."""
    return np.linspace(-width, width, count) if count > 1 else np.zeros(count)


def seeds_drawn(values_S: "pd.Series[float]") -> Floats:
    """The values that are drawn, one per seed, those of missing runs left out."""
    found: Floats = np.asarray(values_S.dropna(), dtype=np.float64)
    return np.asarray(found[drawn(found, MOST_DOTS)])


def row_axis(axes: Axes, labels: Sequence[str], width: float) -> None:
    """Named rows from the top down; names at the left, or in a narrow figure above their rows."""
    axes.set_yticks([])
    beside = width == WIDE
    where: Any = {"ha": "right", "va": "center"} if beside else {"ha": "left", "va": "center"}
    for y, label in enumerate(labels):  # a tick takes ten times as long as its text
        left, height = (-0.01, y) if beside else (0, y - ABOVE)
        axes.text(left, height, label, transform=axes.get_yaxis_transform(), **where)
    axes.set_ylim(len(labels) - 0.5, -0.5 if beside else -0.5 - ABOVE / 2)
    axes.spines["left"].set_visible(False)


def final(setting: Setting, table: pd.DataFrame, width: float) -> Figure:
    """Success by arm, best first."""
    colours, names = palette(list(setting.arms)), shortened(list(setting.arms))
    beside = width == WIDE
    row = (0.46 if len(table) <= MOST_TALL else 0.3) if beside else 0.56
    figure, axes = canvas((0.95 if beside else 1.15) + row * len(table), width)
    own = [colours[arm] for arm in table["arm"]]
    seeds(axes, [seeds_drawn(setting.finals[arm]) for arm in table["arm"]], 0.2, 0.07, own)
    intervals(axes, table, "final_score", own)
    rows = np.arange(len(table))
    axes.plot(
        table["greedy_score"], rows - 0.08, "D", markerfacecolor="none", markeredgecolor=INK, markersize=6
    )
    axes.vlines(table["start_score"], rows - 0.25, rows + 0.25, colors=MUTED, linewidth=1.5)
    between = "\n" if beside and len(table) <= MOST_TALL else " "
    labels = [f"{names[row['arm']]}{between}({row['credit_unit']})" for _, row in table.iterrows()]
    row_axis(axes, labels, width)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel(f"final {setting.measure} on the evaluation panel")
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
    figure.legend(handles=entries, loc="outside upper right", ncols=4 if beside else 2, handletextpad=0.4)
    return figure


def forest(arms: Sequence[str], family: Family, measure: str, width: float) -> Figure:
    """Differences with intervals, one dot per seed, verdicts at the right."""
    table, colours, beside = family.table, palette(arms), width == WIDE
    figure, axes = canvas(0.75 + (0.36 if beside else 0.56) * len(table), width)
    axes.axvline(0, color=INK, linewidth=0.9)
    own = [colours.get(left, INK) for left in table["left"]]
    seeds(axes, [seeds_drawn(family.differences[label]) for label in table["label"]], 0.22, 0.06, own)
    intervals(axes, table, "difference", own)
    for y, verdict in enumerate(table["verdict"]):
        look: Any = {"va": "center", "ha": "left" if beside else "right"}
        look["weight"] = "normal" if verdict in ("undecided", "exploratory") else "bold"
        right, height = (1.02, y) if beside else (1, y - ABOVE)
        axes.text(right, height, verdict, transform=axes.get_yaxis_transform(), **look)
    row_axis(axes, pair_labels(arms, table), width)
    seen = [*table["low"], *table["high"], *(d for values in family.differences.values() for d in values)]
    reach = max(0.1, min(1.0, 1.06 * float(np.nanmax(np.abs(seen)))))
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(value)))
    axes.set_xlabel(
        f"← right arm better  ·  difference in final {measure}, left − right  ·  left arm better →"
        if beside
        else "← right better  ·  left − right  ·  left better →"
    )
    if not beside:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    return figure


def pair_labels(arms: Sequence[str], table: pd.DataFrame) -> list[str]:
    """Comparisons by name, those of two arms with shortened names."""
    short = shortened(arms)
    return [
        f"{short[left]} − {short[right]}"
        if label == f"{left} − {right}" and {left, right} <= set(arms)
        else label
        for label, left, right in zip(table["label"], table["left"], table["right"], strict=True)
    ]


def compute(setting: Setting, phases: pd.DataFrame, width: float) -> Figure:
    """Stacked shares of the nominal FLOPs inside the budget, by phase."""
    shares = phases.pivot(index="arm", columns="phase", values="share")
    arms = [arm for arm in setting.arms if arm in shares.index]
    # After the known phases, what a store of an older version calls its own.
    used = [
        phase for phase in dict.fromkeys([*BUDGETED, *shares]) if phase in shares and shares[phase].sum() > 0
    ]
    labels = [PHASE_NAMES.get(phase, phase) for phase in used]
    height = 0.9 + (0.36 if width == WIDE else 0.56) * len(arms) + legend_room(labels, width)
    figure, axes = canvas(height, width)
    tall = 0.31 if width == WIDE else 0.22
    colours = {phase: phase_colours().get(phase, MUTED) for phase in used}
    ends = shares.loc[arms, used].fillna(0).astype(float).cumsum(axis=1)
    starts = ends.shift(axis=1, fill_value=0.0)
    for phase in used:
        edges = list(enumerate(zip(starts[phase], ends[phase], strict=True)))
        boxes = [[(a, y - tall), (b, y - tall), (b, y + tall), (a, y + tall)] for y, (a, b) in edges if a < b]
        axes.add_collection(PolyCollection(boxes, facecolors=colours[phase], linewidths=0))
        for y, (start, end) in edges:
            if end - start >= 0.045 * WIDE / width:
                percent = f"{100 * (end - start):.0f} %"
                axes.text((start + end) / 2, y, percent, ha="center", va="center", **ON_COLOUR)
    names = shortened(arms)
    row_axis(axes, [names[arm] for arm in arms], width)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.set_xlabel("share of nominal training FLOPs")
    entries = [Patch(color=colour, label=PHASE_NAMES.get(phase, phase)) for phase, colour in colours.items()]
    legend(figure, entries)
    return figure


def phase_colours() -> dict[str, str]:
    """Sampling in blues, scoring in greens, critic in purples, training in orange; dark text reads on all."""
    return {
        phase.value: to_hex(mpl.colormaps[name]((place + 2) / (len(phases) + 4)))
        for name, phases in PHASE_FAMILIES.items()
        for place, phase in enumerate(phases)
    }
