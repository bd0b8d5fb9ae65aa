"""Which goals are for training, for evaluation and for tuning: by their places in the published order."""

import functools
from itertools import islice

from envs.base import STREAMS
from envs.webshop.files import Opened, Stock, opened
from envs.webshop.wishes import fulfilling

HELD_OUT, DEVELOPMENT = 500, 1000
"""WebShop's own split of its goals: 500 to test, 1000 for development, the others to train."""


def part(stream: str, goals: int) -> range:
    """The places of a stream's goals. No part but the last is more than a quarter of the list."""
    held_out, tuning = min(HELD_OUT, goals // 4), min(DEVELOPMENT, goals // 4)
    ends = (held_out, held_out + tuning // 2, held_out + tuning, goals)
    order = ("eval", "tuning-eval", "tuning-train", "train")
    assert set(order) == set(STREAMS)
    number = order.index(stream)
    return range(ends[number - 1] if number else 0, ends[number])


@functools.cache
def chosen(stock: Stock, stream: str, count: int) -> tuple[int, ...]:
    """The places of a stream's first goals; fewer than `count` if it has no more.

    A goal whose like came before, in whatever stream, is left out; so is one that can't be fulfilled,
    unless the published engine is wanted.
    """
    open_shop = opened(stock)
    first = _first_places(stock)
    places = (place for place in part(stream, len(open_shop.goals)) if place in first)
    return tuple(islice((place for place in places if stock.published or _fair(open_shop, place)), count))


def _fair(open_shop: Opened, place: int) -> bool:
    return fulfilling(open_shop.shop, open_shop.goals[place]) is not None


@functools.cache
def _first_places(stock: Stock) -> frozenset[int]:
    """The places of goals that ask for something that no earlier one asks for."""
    places: dict[object, int] = {}
    for place, goal in enumerate(opened(stock).goals):
        places.setdefault((goal.asin, frozenset(goal.attributes), goal.options), place)
    return frozenset(places.values())
