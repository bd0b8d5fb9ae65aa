"""`env=webshop`: buy the product that an instruction asks for, in a shop with a search engine.

An implementation of its own of WebShop's text environment: pages, goals and scores are those of the published
engine, step by step; the search engine is BM25 by `bm25s` in place of Lucene (docs/environments/webshop.md).
"""

import hashlib
import re
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar, Self

from envs.base import Environment, EnvironmentSpec, Info, Task, Transition
from envs.frame import Example, Frame
from envs.webshop.files import Opened, Products, Stock, folder_of, opened
from envs.webshop.goals import Goal, Goals
from envs.webshop.nouns import Nouns
from envs.webshop.pages import Kind, View
from envs.webshop.panel import chosen
from envs.webshop.scoring import Score
from envs.webshop.search import library
from harness.errors import UserError

PRICE_TEXT = ", and price lower than"
UNSAYABLE = re.compile(r"[\[\]\s]+")
"""What keywords can't hold."""
SHOPPING = Frame(
    system="You buy things in an online shop.{task} Each turn, {how}.",
    task=" Your task: {goal}.",
    examples=(
        Example("Search", ("search[red wool scarf]",), "search[red wool scarf]"),
        Example(
            "Back to Search [SEP] Page 1 (Total results: 1) [SEP] B012345678 [SEP] Scarf, Wool [SEP] $9.5",
            ("click[back to search]", "click[b012345678]"),
            "click[b012345678]",
        ),
    ),
)


class Observed(Enum):
    """How pages are put into words: as the published engine does, less the instruction, which is the goal."""

    text = "text"
    """Pieces of text with `[SEP]` between them. What was chosen does not show."""
    text_rich = "text_rich"
    """A line for each piece, buttons marked, clicked ones as clicked."""


class StateKey(Enum):
    """What names a state."""

    page = "page"
    """The page as it is observed, without the instruction (GiGPO's anchor, G2PO's node): two visits of a
    product's page with other options chosen have one key where the page does not show them."""
    view = "view"
    """All that later pages and the score depend on."""


@dataclass(frozen=True)
class WebShopSpec(EnvironmentSpec):
    """The shop and its dials."""

    name: ClassVar[str] = "webshop"
    version: ClassVar[str] = "1"
    graded: ClassVar[bool] = True
    verbatim: ClassVar[bool] = True
    resources: ClassVar[tuple[str, ...]] = ("data",)
    frame: ClassVar[Frame] = SHOPPING

    horizon: int = 15
    """Steps after which an episode is cut off as a failure."""
    max_action_tokens: int = 48
    """Longest response in tokens, the end token included."""
    max_prompt_tokens: int = 1024
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    products: Products = Products.demo
    """Which catalogue: `demo` is installed; `small` and `full` are WebShop's own files, which are not."""
    data: str = ""
    """The folder with WebShop's files; empty: WEBSHOP_DATA. The panel's hash has what the files hold."""
    goals: Goals = Goals.human
    """Where goals come from: `human` or `synthetic`."""
    nouns: Nouns = Nouns.listed
    """Who tells the nouns of titles, a part of the score: `listed`, `spacy` (as published) or `words`."""
    published_faults: bool = False
    """Whether the shop has the published engine's faults, to compare with published numbers."""
    price_seed: int = 0
    """Of the limits that goals set, and with `published_faults` of the prices that stand as ranges."""
    show_attributes: bool = False
    """Whether products' pages lead to a page of their attributes."""
    suggest_search: bool = True
    """Whether the search page lists a search for the goal's own words, for policies that choose from a list;
    without, it lists `search[<your query>]`, as published prompts do."""
    observed: Observed = Observed.text
    """How pages are put into words: `text` or `text_rich`."""
    state_keys: StateKey = StateKey.page
    """What names a state: `page` or `view`."""

    def make(self) -> "WebShop":
        return WebShop(self)

    @property
    def label(self) -> str:
        """What results are called."""
        what = "authored catalogue" if self.products is Products.demo else f"{self.products.value} catalogue"
        return f"WebShop engine, {what}" + (", every word a noun" if self.nouns is Nouns.words else "")

    @property
    def stock(self) -> Stock:
        """What the shop is made from."""
        if self.data and self.products is Products.demo:
            raise UserError("env.data has no effect with env.products=demo: set env.products=small or full")
        return Stock(
            folder=folder_of(self.data, self.products),
            products=self.products,
            goals=self.goals,
            nouns=self.nouns,
            published=self.published_faults,
            price_seed=self.price_seed,
            show_attributes=self.show_attributes,
        )

    def opened(self) -> Opened:
        """The shop, made first if need be."""
        return opened(self.stock)

    def task(self, stream: str, index: int) -> Task:
        planned = max(self.planned(stream), index + 1)
        places = chosen(self.stock, stream, planned)
        if index >= len(places):
            size = "train" if stream.endswith("train") else "eval"
            raise UserError(
                f"env.products={self.products.value} has only {len(places)} {self.goals.value} goals "
                f"for {stream}, env.{size}_tasks={planned} asks for more: lower it"
                + (", or set env.goals=synthetic" if self.goals is Goals.human else "")
            )
        goal = self.opened().goals[places[index]]
        digest = hashlib.sha256(f"{self.opened().content}/{places[index]}".encode()).digest()
        return Task(f"webshop-{places[index]}", int.from_bytes(digest[:7], "big"), goal.instruction)

    def goal(self, task: Task) -> Goal:
        """What a task asks for."""
        return self.opened().goals[int(task.id.rpartition("-")[2])]

    def check(self) -> None:
        library()
        self.training_panel()
        self.evaluation_panel()

    def files(self) -> list[Path]:
        return self.stock.files()


class WebShop(Environment):
    """One visit to the shop. It ends with a purchase."""

    def __init__(self, spec: WebShopSpec) -> None:
        self.spec = spec
        self.shop = spec.opened().shop

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        self.goal = self.spec.goal(task)
        self.view = View()
        self.steps = 0
        self.seed = f"{task.seed}/{seed}"
        return self._observation(), Info(
            self.state_key, self._admissible(), score=0.0, metrics={"bought": 0.0}
        )

    def step(self, action: str) -> Transition:
        self.steps += 1
        self.view, score, valid = self.shop.act(self.view, self.goal, action, f"{self.seed}/{self.steps}")
        reward = score.total if score else 0.0
        truncated = self.steps >= self.spec.horizon and not score
        info = Info(self.state_key, self._admissible(), valid, reward == 1, reward, _metrics(score))
        return Transition(self._observation(), reward, score is not None, truncated, info)

    def copy(self) -> Self:
        # A view is never changed in place, so a shallow copy is independent.
        return copy(self)

    @property
    def state_key(self) -> str:
        if self.spec.state_keys is StateKey.page:
            return self._observation()
        view = self.view
        seen = sorted(view.visited) if self.spec.observed is Observed.text_rich else []
        place = (view.kind.value, view.keywords, view.page, view.asin, view.part)
        return repr((*place, view.options, view.drawn, seen))

    def _observation(self) -> str:
        page = self.shop.page(self.view)
        if self.spec.observed is Observed.text:
            return page.body
        marked = self.shop.marked(self.view)
        return page.chosen_lines(marked) + page.rich_body(marked)

    def _admissible(self) -> tuple[str, ...]:
        clicks = tuple(f"click[{name}]" for name in self.shop.page(self.view).clicks if name != "search")
        return (self._search(), *clicks) if self.view.kind is Kind.index else clicks

    def _search(self) -> str:
        if not self.spec.suggest_search:
            return "search[<your query>]"
        words = self.goal.instruction.partition(PRICE_TEXT)[0]
        return f"search[{UNSAYABLE.sub(' ', words).strip()}]"


def _metrics(score: Score | None) -> Mapping[str, float]:
    """Whether something was bought, and the parts of its score."""
    if score is None:
        return {"bought": 0.0}
    parts = {"type": score.type, "attributes": score.attributes, "price": float(score.price)}
    if score.options is not None:
        parts["options"] = score.options
    return {"bought": 1.0, **parts}
