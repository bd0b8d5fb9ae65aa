"""What buyers want: goals made from a catalogue, by people (`human`) or from option values (`synthetic`)."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from envs.webshop.catalogue import Catalogue, Product
from harness.errors import UserError

ORDER_SEED = 233
"""Of the one order of goals that WebShop's splits count in."""
LIMITS = range(10, 1000, 10)
"""Upper prices that instructions may name, in dollars."""
NEAREST = 4
"""How many limits above a product's price are drawn from."""
NO_LIMIT = 1_000_000.0


class Goals(Enum):
    """Where goals come from."""

    human = "human"
    """Instructions that people wrote, from `items_human_ins`."""
    synthetic = "synthetic"
    """One for each combination of a product's option values, from `items_ins_v2`."""


@dataclass(frozen=True)
class Goal:
    """One instruction and what it is scored by."""

    asin: str
    """The product that it describes."""
    instruction: str
    attributes: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    """Wished (group, value) pairs; the group of a human goal is empty, as people named values alone."""
    limit: float
    """The highest price that is accepted, in dollars."""


class Prices:
    """What each product costs.

    The price of a range is drawn, as are the limits that goals set. The published engine takes both from
    Python's generator in whatever state it is, so that no two of its processes have the same.
    """

    def __init__(self, catalogue: Catalogue, seed: int, drawn: bool) -> None:
        self.draw = random.Random(seed)
        self.of = {asin: self._price(product, drawn) for asin, product in catalogue.products.items()}

    def _price(self, product: Product, drawn: bool) -> float:
        if len(product.prices) == 1:
            return product.prices[0]
        return self.draw.uniform(*product.prices) if drawn else max(product.prices)

    def limit(self, asin: str) -> float:
        """A limit just above a product's price."""
        near = [float(limit) for limit in LIMITS if limit > self.of[asin]][:NEAREST]
        return max(self.draw.sample(near, 2)) if len(near) > 1 else NO_LIMIT


def make_goals(catalogue: Catalogue, prices: Prices, kind: Goals) -> list[Goal]:
    """All goals of this kind, in the published order."""
    goals = list(_human(catalogue, prices) if kind is Goals.human else _synthetic(catalogue, prices))
    random.Random(ORDER_SEED).shuffle(goals)
    return goals


def _human(catalogue: Catalogue, prices: Prices) -> Iterator[Goal]:
    for asin in catalogue.products:
        for entry in catalogue.human.get(asin, ()):
            try:
                attributes, wishes = entry["instruction_attributes"], entry["instruction_options"]
                text = entry["instruction"].strip(".")
            except (KeyError, TypeError, AttributeError) as error:
                raise UserError(f"items_human_ins lacks {error} for {asin}: get the file again") from error
            if attributes:
                limit = prices.limit(asin)
                options = tuple(("", wish) for wish in wishes)
                yield Goal(asin, text + _said(limit), tuple(attributes), options, limit)


def _synthetic(catalogue: Catalogue, prices: Prices) -> Iterator[Goal]:
    for asin, product in catalogue.products.items():
        entry = catalogue.instructions.get(asin)
        if entry is None:
            raise UserError(f"items_ins_v2 has no entry for the product {asin}: get both files of one set")
        if not entry.get("instruction"):
            continue
        attributes = tuple(entry.get("instruction_attributes") or ())
        if not attributes:
            raise UserError(f"items_ins_v2 has no attributes for {asin}'s instruction: get the file again")
        limit = prices.limit(asin)
        groups = sorted(product.options)
        for values in itertools.product(*(product.options[group] for group in groups)):
            options = tuple(zip(groups, values, strict=True))
            wished = ", and ".join(f"{group}: {value}" for group, value in options)
            text = entry["instruction"].strip(".") + (f" with {wished}" if wished else "")
            yield Goal(asin, text + _said(limit), attributes, options, limit)


def _said(limit: float) -> str:
    return f", and price lower than {limit:.2f} dollars" if limit < NO_LIMIT else ""
