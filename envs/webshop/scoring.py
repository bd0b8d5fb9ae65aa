"""The score of a purchase: WebShop's reward, and its parts."""

import functools
from dataclasses import dataclass

from envs.webshop.catalogue import Product
from envs.webshop.fuzzy import token_set_ratio
from envs.webshop.goals import Goal
from envs.webshop.nouns import Tagger

ALIKE = 85
"""Texts are taken for the same above this ratio."""
UNKNOWN_TITLE = 0.2
"""How alike titles are taken to be if the wished one has no noun."""
NAMES = (
    "alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown "
    "burgundy camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac "
    "copper coral cranberry cream crystal dark denim eggplant elephant espresso fuchsia gold granite "
    "grape graphite grass gray green grey heather indigo ivory ivy khaki lavender lemon leopard light "
    "lilac lime magenta maroon mauve merlot midnight mint mocha multicolor mushroom mustard natural "
    "navy nude olive orange peach pewter pink plum purple rainbow red rose royal rust sand sapphire "
    "seashell silver skull slate steel stone stonewash sunflower tan taupe teal tiger turquoise violet "
    "walnut wheat white wine yellow"
)
COLOURS = tuple(NAMES.split())
"""Names that option values are cut down to, in the order in which they are looked for."""


@dataclass(frozen=True)
class Score:
    """A purchase's score, 0 to 1, and what it is made of."""

    total: float
    type: float
    """What the rest is multiplied by: whether it is the right kind of product."""
    title: float
    """Share of the wished title's nouns that are in the bought one's."""
    query: bool
    """Whether both products have the same query."""
    category: bool
    """Whether their categories share two names."""
    attributes: float
    """Share of wished attributes."""
    options: float | None
    """Share of wished options; None if none are wished."""
    price: bool
    """Whether the price is within the limit."""


@dataclass(frozen=True)
class Scorer:
    """Scores purchases; `published` as the published engine does, faults included."""

    tagger: Tagger
    published: bool

    def score(
        self, bought: Product, price: float, chosen: tuple[tuple[str, str], ...], goal: Goal, wished: Product
    ) -> Score:
        """The score of a product bought at this price with these (group, value) pairs."""
        kind, title, query, category = self.kind(bought, wished)
        attributes = self.attribute_hits(bought, goal.attributes)
        options = self.option_hits(chosen, goal.options)
        within = price <= goal.limit
        wishes = len(goal.attributes) + len(goal.options) + 1
        return Score(
            total=(attributes + options + within) / wishes * kind,
            type=kind,
            title=title,
            query=query,
            category=category,
            attributes=attributes / len(goal.attributes),
            options=options / len(goal.options) if goal.options else None,
            price=within,
        )

    def kind(self, bought: Product, wished: Product) -> tuple[float, float, bool, bool]:
        """The type's score, the title's, whether queries are equal, whether categories are."""
        nouns = self._nouns(wished.title)
        title = len(nouns & self._nouns(bought.title)) / len(nouns) if nouns else UNKNOWN_TITLE
        query = bought.query == wished.query
        category = len(_names(bought.kind) & _names(wished.kind)) >= 2
        kind = 1.0 if query or category or title > 0.2 else 0.5
        if title < 0.1:
            kind = 0.1 if title else 0.0
        return kind, title, query, category

    def attribute_hits(self, bought: Product, wishes: tuple[str, ...]) -> int:
        """How many of the wished attributes the product has, or mentions."""
        return sum(self._has(bought, wish) for wish in wishes)

    def option_hits(self, chosen: tuple[tuple[str, str], ...], wishes: tuple[tuple[str, str], ...]) -> int:
        """How many of the wished (group, value) pairs were chosen."""
        if not self.published:
            return _equal_options(chosen, wishes)
        cut = [cut_to_colour(value) for _, value in chosen]
        return sum(any(token_set_ratio(value, _as_text(*wish)) > ALIKE for value in cut) for wish in wishes)

    def _has(self, bought: Product, wish: str) -> bool:
        if any(token_set_ratio(attribute, wish) > ALIKE for attribute in bought.attributes):
            return True
        # The published engine looks for the wish as it stands in lower-case text.
        words = wish if self.published else wish.lower()
        return any(
            words in text.lower() for text in (bought.title, " ".join(bought.bullets), bought.description)
        )

    def _nouns(self, title: str) -> frozenset[str]:
        nouns = self.tagger.nouns(title)
        # Without a noun, nothing could be the right kind of product: its words stand in for them.
        return nouns if nouns or self.published else frozenset(title.lower().split())


@functools.cache
def _names(kind: str) -> frozenset[str]:
    return frozenset(name.strip() for name in kind.split("›"))


@functools.lru_cache(maxsize=65_536)
def cut_to_colour(value: str) -> str:
    """The first colour's name whose letters occur in a value, else the value: 'standard' becomes 'tan'."""
    return next((colour for colour in COLOURS if colour in value), value)


def _as_text(group: str, value: str) -> str:
    """What the published engine compares with: a synthetic wish is a pair, turned into text with its quotes,
    and only one that has a colour's very name in it is cut."""
    if not group:
        return cut_to_colour(value)
    return next((colour for colour in COLOURS if colour in (group, value)), str((group, value)))


def _equal_options(chosen: tuple[tuple[str, str], ...], wishes: tuple[tuple[str, str], ...]) -> int:
    """How many wishes are fulfilled if values must be equal and each chosen one fulfils one wish."""
    left = [(group, _spelt(value)) for group, value in chosen]
    hits = 0
    for group, wish in wishes:
        found = next((pair for pair in left if pair[1] == _spelt(wish) and group in ("", pair[0])), None)
        if found:
            left.remove(found)
            hits += 1
    return hits


@functools.lru_cache(maxsize=65_536)
def _spelt(value: str) -> str:
    """A value without differences of case, blanks and slashes."""
    return " ".join(value.replace("/", " | ").lower().split())
