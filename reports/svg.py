"""The look of the figures, and figures as files and as inline SVG that follows the page's colours.

An arm has one colour in every figure, and an algorithm the same one on every page.

The same figure always gives the same bytes: no date, no random ids. Text stays text.
"""

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

INK, MUTED, RULE = "#1b2026", "#8b939e", "#e3e6ea"
"""Text and axes, other arms' lines, grid. In the SVG they become the page's colours."""
THEMED = {INK: "currentColor", MUTED: "var(--figure-muted, #8b939e)", RULE: "var(--figure-rule, #e3e6ea)"}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
WIDTH = 9.6
"""Inches."""
ORDER = (0, 3, 2, 4, 9, 1, 5, 7, 6, 8)
"""Seaborn's colour-blind safe palette, neighbours apart."""
SHARED_PLACES = (
    ("appo", "reinforce_pp"),
    ("g2po", "gspo"),
    ("gigpo", "hgpo"),
    ("grpo", "rloo"),
    ("ppo", "capo"),
    ("steppo", "arpo"),
    ("graphgpo", "steppo_token_credit"),
    ("tree_grpo", "steppo_neither"),
    ("dr_grpo", "steppo_token_ratio"),
)
"""Algorithms by place in the palette; of two on one page, the first named has the colour."""
RANK = {name: (rank, place) for place, names in enumerate(SHARED_PLACES) for rank, name in enumerate(names)}
MOST_DRAWN = 40
"""Seeds of an arm that are drawn one by one; of more, so many, evenly spaced in rank."""
COORDINATES = re.compile(r' (?:d|x|y)="[^"]*"')
DIGITS = re.compile(r"(\.\d\d)\d+")
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def palette(arms: Sequence[str]) -> dict[str, str]:
    """A colour for each arm: an algorithm has the same one on every page, as long as it is free.

    Arms beyond the palette's ten, and further arms of an algorithm, take the next free colour, then a hue.
    """
    safe = [to_hex(sns.color_palette("colorblind")[i]) for i in ORDER]
    free = safe + [to_hex(hue) for hue in sns.color_palette("husl", max(0, len(arms) - len(safe)))]
    own = {arm: RANK[arm.split()[0]] for arm in arms if arm.split()[0] in RANK}
    colours: dict[str, str] = {}
    for arm in sorted(arms, key=lambda arm: (own.get(arm, (len(RANK), 0)), arm)):
        mine = safe[own[arm][1]] if arm in own else free[0]
        colours[arm] = mine if mine in free else free[0]
        free.remove(colours[arm])
    return {arm: colours[arm] for arm in sorted(arms)}


def drawn(values_S: ArrayLike) -> list[int]:
    """Places of the values that are drawn one by one, in order of size where there are too many."""
    count = np.size(values_S)
    if count <= MOST_DRAWN:
        return list(range(count))
    ranks = np.linspace(0, count - 1, MOST_DRAWN).round().astype(int)
    order: list[int] = np.argsort(values_S, kind="stable")[ranks].tolist()
    return order


def canvas(height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of `rows` x `columns` axes that share both scales."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    return figure, list(axes.flat)


def to_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as one `<svg>` element. `name` keeps ids of several figures on one page apart."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    figure.set_layout_engine("none")  # the layout is done: the PNG keeps it
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].rstrip()
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # A hundredth of a point is enough, and makes the page a third smaller.
    svg = COORDINATES.sub(lambda attribute: DIGITS.sub(r"\1", attribute[0]), svg)
    for colour, themed in THEMED.items():
        svg = svg.replace(colour, themed)
    label = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).replace(
        ">", f">\n <title>{label}</title>", 1
    )


def to_png(figure: Figure) -> bytes:
    """The figure on white, 150 dots an inch."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
