"""WebShop's text environment: what an action leads to, given what is open and the goal.

With `published`, it does what the published engine does, faults included (docs/environments/webshop.md).
"""

import functools
import json
import random
import re
from dataclasses import replace
from typing import NamedTuple

from envs.webshop.catalogue import Catalogue
from envs.webshop.goals import Goal, Prices
from envs.webshop.pages import (
    PARTS,
    Kind,
    Page,
    Role,
    View,
    done_page,
    index_page,
    item_page,
    part_page,
    results_page,
)
from envs.webshop.scoring import Score, Scorer
from envs.webshop.search import MOST, SearchEngine

ACTION = re.compile(r"(.+)\[(.+)\]")
CLICK = re.compile(r"click\[(.+)\]", re.DOTALL)
BUTTON_PARTS = {part.lower(): part for part in PARTS}


class Outcome(NamedTuple):
    """What an action led to."""

    view: View
    score: Score | None = None
    """Of the purchase, if the action was one."""
    valid: bool = True
    """Whether the action had an effect."""


class Shop:
    """A catalogue that is open for business. It remembers its pages, which many episodes see again."""

    def __init__(
        self,
        catalogue: Catalogue,
        prices: Prices,
        search: SearchEngine,
        scorer: Scorer,
        published: bool,
        show_attributes: bool = False,
    ) -> None:
        self.products = catalogue.products
        self.prices = prices
        self.search = search
        self.scorer = scorer
        self.published = published
        self.show_attributes = show_attributes
        self._remembered = functools.lru_cache(maxsize=65_536)(self._page)

    def page(self, view: View) -> Page:
        """The page that is open."""
        return self._remembered(view.plain)

    def marked(self, view: View) -> frozenset[str]:
        """The products or options that mode `text_rich` shows as clicked."""
        if view.kind is Kind.results:
            return view.visited
        if view.kind is not Kind.item:
            return frozenset()
        if not self.published:
            return frozenset(value for _, value in view.options)
        # The published engine looks for an option between quote marks in the page's address.
        address = "+".join(view.keywords) + json.dumps(dict(view.options))
        values = [piece.text for piece in self.page(view).pieces if piece.role is Role.option]
        return frozenset(value for value in values if f'"{value}"' in address)

    def act(self, view: View, goal: Goal, action: str, seed: int | str = 0) -> Outcome:
        """What an action leads to. `seed` drives the published back door that draws products."""
        name, words = self._read(view, action)
        if name == "search":
            keywords = tuple(words.split(" "))
            drawn = self._drawn(keywords, seed)
            found = View(Kind.results, keywords, page=1, visited=view.visited, drawn=drawn)
            self.page(found)  # a keyword that the published engine fails at fails here
            return Outcome(found)
        role = self.page(view).clicks.get(words) if name == "click" else None
        if role is None or (view.kind is Kind.index and words == "search"):
            return Outcome(view, valid=False)
        return self._click(view, goal, words, role)

    def _read(self, view: View, action: str) -> tuple[str, str]:
        """An action's name and what its brackets hold; the published engine reads no brackets in brackets."""
        whole = None if self.published else CLICK.fullmatch(action)
        if whole and whole[1].lower() in self.page(view).clicks:
            return "click", whole[1].lower()
        said = ACTION.match(action)
        return (said[1], said[2].lower()) if said else ("", "")

    def _click(self, view: View, goal: Goal, words: str, role: Role) -> Outcome:
        as_results = self._taken_for_results(view)
        if role is Role.option and (not self.published or not _names_a_button(words, as_results)):
            return Outcome(self._choose(view, words))
        if words == "buy now":
            return self._buy(view, goal)
        if words == "back to search":
            return Outcome(View())
        if words == "next >":
            return Outcome(replace(view, page=(view.page or 0) + 1))
        if words == "< prev":
            return Outcome(_previous(view, as_results))
        if words in BUTTON_PARTS:
            return Outcome(replace(view, kind=Kind.part, part=BUTTON_PARTS[words]))
        asin = words.upper()
        return Outcome(
            replace(view, kind=Kind.item, asin=asin, options=(), visited=view.visited | {asin}),
        )

    def _taken_for_results(self, view: View) -> bool:
        """Whether the page counts as one of results: the published engine looks for that kind's name anywhere
        in the page's address, keywords included."""
        if view.kind in (Kind.item, Kind.part) and self.published:
            return Kind.results.value in "+".join(view.keywords)
        return view.kind is Kind.results

    def _choose(self, view: View, value: str) -> View:
        """An option was clicked. A value that several groups offer sets the last of them in the published
        engine, else the first one that has no choice yet, or has another."""
        product = self.products[view.asin or ""]
        groups = [group for group, values in product.options.items() if value in values]
        chosen = dict(view.options)
        if self.published:
            group = groups[-1]
        else:
            other = [group for group in groups if chosen.get(group) != value]
            group = next((each for each in groups if each not in chosen), (other or groups)[0])
        return replace(view, options=tuple({**chosen, group: value}.items()))

    def _buy(self, view: View, goal: Goal) -> Outcome:
        asin = view.asin or ""
        score = self.scorer.score(
            self.products[asin], self.prices.of[asin], view.options, goal, self.products[goal.asin]
        )
        return Outcome(replace(view, kind=Kind.done, reward=score.total), score)

    def _drawn(self, keywords: tuple[str, ...], seed: int | str) -> tuple[str, ...]:
        if keywords[0] != "<r>" or not self.published:
            return ()
        return tuple(random.Random(seed).sample(list(self.products), min(MOST, len(self.products))))

    def _found(self, view: View) -> tuple[str, ...]:
        """The hits of a view's keywords. The published engine has back doors, two of which raise."""
        first, *others = view.keywords
        if not self.published or first not in ("<r>", "<a>", "<c>", "<q>"):
            return self.search.hits(" ".join(view.keywords))
        if first == "<a>":
            raise TypeError("the published text environment has no table of attributes")
        if first == "<r>":
            return view.drawn
        wanted = others[0] if first == "<c>" else " ".join(others)
        return tuple(
            asin
            for asin, product in self.products.items()
            if wanted == (product.category if first == "<c>" else product.query)
        )

    def _page(self, view: View) -> Page:
        if view.kind is Kind.index:
            return index_page(self.published)
        if view.kind is Kind.results:
            return results_page(view, self._found(view), self.products, endless=self.published)
        if view.kind is Kind.done:
            return done_page(view)
        product = self.products[view.asin or ""]
        if view.kind is Kind.part:
            return part_page(product, view.part)
        return item_page(product, self.show_attributes)


def _names_a_button(words: str, as_results: bool) -> bool:
    """Whether a click is taken for a button's whatever it was on."""
    return (
        words in BUTTON_PARTS
        or words in ("buy now", "back to search", "< prev")
        or (words == "next >" and as_results)
    )


def _previous(view: View, as_results: bool) -> View:
    if as_results:
        return replace(view, kind=Kind.results, page=(view.page or 0) - 1, asin=None, options=())
    if view.kind is Kind.part:
        return replace(view, kind=Kind.item, part="")
    return replace(view, kind=Kind.results, asin=None, options=())
