"""Matplotlib figures as files and as inline SVG that follows the page's colours.

The same figure always gives the same bytes: no date, no random ids. Text stays text.
"""

import io
import re
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

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
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def to_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as one `<svg>` element. `name` keeps ids of several figures on one page apart."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata=NO_METADATA)
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].rstrip()
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
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
