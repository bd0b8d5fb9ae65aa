"""The look of the figures, and figures as files and as inline SVG that follows the page's colours.

An algorithm has one colour on every page; its arms have shades of it.

The same figure always gives the same bytes: no date, no random ids, and none of the settings that a user of
matplotlib may have. Text stays text.
"""

import colorsys
import html
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from PIL import Image

INK, MUTED, RULE = "#1b2026", "#8b939e", "#e3e6ea"
"""Text and axes, other arms' lines, grid. In the SVG they become the page's colours."""
THEMED = {INK: "currentColor", MUTED: "var(--figure-muted, #8b939e)", RULE: "var(--figure-rule, #e3e6ea)"}
STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.hinting": "none",  # a third of a picture's time
    "figure.facecolor": "none",
    "axes.facecolor": "none",
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
    "xtick.bottom": False,
    "ytick.left": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
WIDE, NARROW = 9.6, 4.7
"""Inches: on a page, and on one for a phone."""
LINE, MARK = 110, 4
"""Characters of a wide legend's line; what an entry's mark takes of them."""
ROW = 0.19
"""Inches of a legend's row."""
LONGEST = 28
"""Characters of an arm's name in a figure or a table; of longer ones see `shortened`."""
OPTION = re.compile(r"(?<= )([\w.]+)(?==)")
"""The name of an option in the name of an arm."""
COLOURS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("#0173b2", ("appo", "reinforce_pp", "appo_constant")),
    ("#d55e00", ("g2po", "gspo", "shuffled_steps")),
    ("#029e73", ("gigpo", "hgpo", "appo_future")),
    ("#cc78bc", ("grpo", "rloo", "random_credit")),
    ("#56b4e9", ("ppo", "capo", "ppo_undiscounted")),
    ("#de8f05", ("steppo", "arpo", "oracle")),
    ("#ca9161", ("graphgpo", "steppo_token_credit", "reinforce_pp_baseline")),
    ("#949494", ("tree_grpo", "steppo_neither", "constant")),
    ("#fbafe4", ("dr_grpo", "steppo_token_ratio", "reinforce_pp_unlinked")),
    ("#ece133", ("ppo_matched",)),
)
"""Seaborn's colour-blind safe palette, and whose each colour is: plain, darkened, lightened."""
SHADES = (("#000000", 0.0), ("#000000", 0.4), ("#ffffff", 0.4))
"""What the first, the second and the third algorithm of a colour mix into it, and how much."""
VARIED = 0.6
"""How much white is in the last of an algorithm's arms."""
MOST_DOTS, MOST_LINES = 40, 20
"""Most seeds of an arm that are drawn one by one; of more, this many, evenly spaced in rank."""
COORDINATES = re.compile(r' (?:d|x|y)="[^"]*"')
SPARE = re.compile(r"(?<=\.\d\d)\d+| *\n(?=[A-Z])|(?<=[A-Z]) ")
"""Digits beyond a hundredth of a point, and blanks that a path does without."""
ALIKE = re.compile(r'(\s*<use [^>]*)( style="[^"]*")/>(?:\s*<use [^>]*\2/>)+')
"""Marks of one style."""
NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def palette(arms: Sequence[str]) -> dict[str, str]:
    """A colour for each arm: an algorithm's first arm has the algorithm's own, the others lighter ones."""
    variants: dict[str, list[str]] = {}
    for arm in sorted(arms):
        variants.setdefault(arm.split()[0], []).append(arm)
    return {
        arm: mix(algorithm_colour(algorithm), "#ffffff", VARIED * i / max(1, len(of_it) - 1))
        for algorithm, of_it in variants.items()
        for i, arm in enumerate(of_it)
    }


def algorithm_colour(name: str) -> str:
    """The same on every page, whoever else is there."""
    for colour, names in COLOURS:
        if name in names:
            return mix(colour, *SHADES[names.index(name)])
    return to_hex(colorsys.hls_to_rgb(zlib.crc32(name.encode()) % 360 / 360, 0.45, 0.55))


def mix(colour: str, other: str, share: float) -> str:
    """A colour with a share of another."""
    ours, theirs = np.array(to_rgb(colour)), np.array(to_rgb(other))
    return to_hex(tuple((1 - share) * ours + share * theirs))


def drawn(values_S: ArrayLike, most: int) -> list[int]:
    """Places of the values that are drawn one by one, in order of size if there are more than `most`."""
    count = np.size(values_S)
    if count <= most:
        return list(range(count))
    ranks = np.linspace(0, count - 1, most).round().astype(int)
    order: list[int] = np.argsort(np.asarray(values_S), kind="stable")[ranks].tolist()
    return order


@contextmanager
def styled() -> Iterator[None]:
    """What is drawn inside has the look of this module, whatever a matplotlibrc on this machine says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(STYLE)
        yield


def shortened(names: Sequence[str]) -> dict[str, str]:
    """What stands for each arm if there is little room, all different.

    Of a long name the options keep their initials (`clip_high=0.3`: `ch=0.3`); a name that is still too long
    loses its middle.
    """
    found: dict[str, str] = {}
    for name in names:
        short = name if len(name) <= LONGEST else OPTION.sub(lambda option: initials(option[1]), name)
        if len(short) > LONGEST:
            head = (LONGEST - 1) // 2
            short = f"{short[:head]}…{short[head + 1 - LONGEST :]}"
        alike = sum(other == short or other.startswith(f"{short} #") for other in found.values())
        found[name] = f"{short} #{alike + 1}" if alike else short
    return found


def initials(name: str) -> str:
    """The first letters of a name's words: `env.history` gives eh."""
    return "".join(word[0] for word in re.split(r"[._]", name) if word)


def canvas(height: float, width: float = WIDE) -> tuple[Figure, Axes]:
    """A figure of one pair of axes."""
    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def panels(count: int, width: float = WIDE) -> tuple[Figure, list[Axes]]:
    """A figure of `count` axes, tick labels at the left and below each column; scales are the caller's.

    Shared scales and a computed layout take much of the time of many panels.
    """
    most_columns, row = (2, 1.5) if width < WIDE else (3, 2.0) if count <= 12 else (5, 1.5)
    columns = min(most_columns, count)
    rows = -(-count // columns)
    height = 0.75 + row * rows
    figure = Figure(figsize=(width, height), layout="none")  # type: ignore[arg-type]  # the stubs lack it
    edges = {"left": 0.6 / width, "right": 1 - 0.1 / width, "bottom": 0.5 / height, "top": 1 - 0.25 / height}
    figure.subplots_adjust(**edges, wspace=0.05, hspace=0.4 / row)
    found = [figure.add_subplot(rows, columns, place + 1) for place in range(count)]
    for place, axes in enumerate(found):
        axes.tick_params(labelleft=place % columns == 0, labelbottom=place + columns >= count)
    return figure, found


def legend(figure: Figure, entries: Sequence[Artist]) -> None:
    """Entries above the axes, in one row or as many in a row as fit."""
    columns = legend_columns([str(entry.get_label()) for entry in entries], figure.get_figwidth())
    spacing = {"handlelength": 1, "handletextpad": 0.4, "columnspacing": 1.2}
    figure.legend(handles=list(entries), loc="outside upper right", ncols=columns, **spacing)


def legend_columns(labels: Sequence[str], width: float) -> int:
    """How many entries fit side by side above axes this many inches wide."""
    lengths = [MARK + len(label) for label in labels]
    line = round(LINE * width / WIDE)
    return len(labels) if sum(lengths) <= line else max(1, line // max(lengths, default=1))


def legend_room(labels: Sequence[str], width: float) -> float:
    """Inches that a legend takes beyond its first row."""
    return ROW * (-(-len(labels) // max(1, legend_columns(labels, width))) - 1)


def to_svg(figure: Figure, name: str, title: str, names: Sequence[str] = ()) -> str:
    """The figure as one `<svg>` element. `name` keeps ids of several figures on one page apart.

    A text that is a shortened one of `names` shows the whole name to a pointer.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(buffer, metadata=NO_METADATA)  # savefig draws everything twice
    figure.set_layout_engine("none")  # the layout is done: the PNG keeps it
    text = buffer.getvalue()
    svg = text[text.index("<svg") :].rstrip()
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    # With a style said once, too, the page is half as large.
    svg = COORDINATES.sub(lambda attribute: SPARE.sub("", attribute[0]), svg)
    svg = ALIKE.sub(lambda marks: f"<g{marks[2]}>{marks[0].replace(marks[2], '')}</g>", svg)
    for colour, themed in THEMED.items():
        svg = svg.replace(colour, themed)
    for whole, short in shortened(names).items():
        if short != whole:
            text = html.escape(short, quote=False)
            svg = svg.replace(f">{text}</text>", f"><title>{html.escape(whole)}</title>{text}</text>")
    label = html.escape(title)
    return svg.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).replace(
        ">", f">\n <title>{label}</title>", 1
    )


def to_png(figure: Figure) -> bytes:
    """The figure on white, 150 dots an inch."""
    figure.set_dpi(150)
    figure.set_facecolor("white")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    buffer = io.BytesIO()
    opaque = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    opaque.save(buffer, "png", compress_level=2)  # half the time of the default, for a tenth more bytes
    return buffer.getvalue()
