"""How a goal can be fulfilled: what to choose on the page of the product that it describes."""

import itertools
from collections.abc import Iterator

from envs.webshop.goals import Goal
from envs.webshop.pages import Kind, View
from envs.webshop.shop import Shop

MOST_TRIES = 10_000
"""Ways to choose options that are tried out; nearly every goal has a handful."""


def fulfilling(shop: Shop, goal: Goal) -> tuple[str, ...] | None:
    """The clicks on the product's page that make its purchase worth 1, Buy Now included; None if none do.

    They are tried out in the shop itself: what its page can't set does not count.
    """
    start = View(Kind.item, asin=goal.asin)
    for values in itertools.islice(_choices(shop, goal), MOST_TRIES):
        clicks = tuple(f"click[{value}]" for value in (*values, "buy now"))
        view = start
        for click in clicks:
            view, score, _ = shop.act(view, goal, click)
        if score and score.total == 1:
            return clicks
    return None


def _choices(shop: Shop, goal: Goal) -> Iterator[tuple[str, ...]]:
    """Values to click, at most one for each group, in the page's order; most values first."""
    groups = [
        [value for value in values if shop.scorer.option_hits(((group, value),), goal.options)]
        for group, values in shop.products[goal.asin].options.items()
    ]
    helpful = [values for values in groups if values]
    for count in range(len(helpful), -1, -1):
        for some in itertools.combinations(helpful, count):
            yield from itertools.product(*some)
