"""Colours: an algorithm's is the same whoever else is on the page."""

from itertools import pairwise
from xml.etree import ElementTree

from matplotlib.colors import to_rgb

from harness.compose.composing import group_options
from reports.svg import LONGEST, MOST_DOTS, canvas, drawn, palette, shortened, to_svg


def test_an_algorithm_has_one_colour_everywhere():
    together = palette(group_options("algorithm"))
    assert len(set(together.values())) == len(together), "and no other has it"
    for name in together:
        assert palette([name, "mine"])[name] == together[name]


def test_arms_of_an_algorithm_are_shades_of_it():
    colours = palette(["grpo", "ppo", "ppo tuned", "ppo gamma=0.9"])
    assert colours["ppo"] == palette(["ppo"])["ppo"]
    assert colours["ppo gamma=0.9"] != colours["ppo tuned"]
    lightness = [sum(to_rgb(colours[arm])) for arm in ("ppo", "ppo gamma=0.9", "ppo tuned")]
    assert lightness == sorted(lightness)


def test_a_long_name_keeps_what_tells_it_apart():
    names = [
        "grpo",
        "ppo clip_high=0.2 entropy_coef=0.001 gamma=0.9",
        "ppo clip_high=0.2 entropy_coef=0.001 gamma=0.95",
        "an algorithm with a very long name, number 1 of them",
        "an algorithm with a very long name, number 2 of them",
        "ppo env.history=4 evaluation.episodes=16",
    ]
    short = shortened(names)
    assert short["grpo"] == "grpo"
    assert short[names[1]] == "ppo ch=0.2 ec=0.001 g=0.9"
    assert short[names[5]] == "ppo eh=4 ee=16"
    assert len(set(short.values())) == len(names)
    assert max(map(len, short.values())) <= LONGEST + len(" #2")
    assert list(shortened(names[3:5]).values()) == [
        "an algorithm …mber 1 of them",
        "an algorithm …mber 2 of them",
    ]


def test_of_many_values_the_ends_and_the_middle_are_drawn():
    values = [(7 * i) % 101 for i in range(101)]
    shown = sorted(values[i] for i in drawn(values, MOST_DOTS))
    assert len(shown) == MOST_DOTS
    assert (shown[0], shown[-1]) == (0, 100)
    assert max(b - a for a, b in pairwise(shown)) <= 3
    assert drawn([3.0, 1.0], 2) == [0, 1]


def test_a_figure_says_a_style_once_and_loses_nothing():
    figure, axes = canvas(3)
    axes.plot([0, 1 / 3, 1], [0, 2 / 3, 1])
    axes.scatter([0.1, 0.2, 0.3, 0.4], [0.5] * 4, c=["#ff0000"] * 3 + ["#0000ff"], clip_on=False)
    tree = ElementTree.fromstring(to_svg(figure, "name", "5 < 6"))
    parents = {child: parent for parent in tree.iter() for child in parent}
    dots = [each for each in tree.iter("{http://www.w3.org/2000/svg}use") if "y" in each.attrib]
    fills = [dot.get("style") or parents[dot].get("style") or "" for dot in dots]
    assert sum("#ff0000" in fill for fill in fills) == 3
    assert sum("#0000ff" in fill for fill in fills) == 1
    red = [dot for dot, fill in zip(dots, fills, strict=True) if "#ff0000" in fill]
    assert len({float(dot.get("x", "")) for dot in red}) == 3
    assert len({dot.get("style") for dot in red}) == 1, "the group has it"
