"""Colours: an algorithm's is the same whoever else is on the page."""

from itertools import pairwise

from matplotlib.colors import to_rgb

from harness.config.compose import group_options
from reports.svg import MOST_DRAWN, drawn, palette


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


def test_of_many_values_the_ends_and_the_middle_are_drawn():
    values = [(7 * i) % 101 for i in range(101)]
    shown = sorted(values[i] for i in drawn(values))
    assert len(shown) == MOST_DRAWN
    assert (shown[0], shown[-1]) == (0, 100)
    assert max(b - a for a, b in pairwise(shown)) <= 3
    assert drawn([3.0, 1.0]) == [0, 1]
