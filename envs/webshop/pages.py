"""The shop's pages as functions of what is open, and their two published renderings as text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property

from envs.webshop.catalogue import Product

PER_PAGE = 10
SEPARATOR = " [SEP] "
PARTS = ("Description", "Features", "Reviews", "Attributes")
"""Pages of their own that a product's page leads to; the last one only where the shop shows attributes."""


class Kind(Enum):
    """The kinds of pages, by their published names."""

    index = "index"
    results = "search_results"
    item = "item_page"
    part = "item_sub_page"
    done = "done"


@dataclass(frozen=True)
class View:
    """What is open. Two buyers with equal views and the same goal see the same."""

    kind: Kind = Kind.index
    keywords: tuple[str, ...] = ()
    page: int | None = None
    asin: str | None = None
    part: str = ""
    options: tuple[tuple[str, str], ...] = ()
    """Chosen (group, value) pairs, in the order in which groups were first chosen."""
    visited: frozenset[str] = frozenset()
    """Products that were opened since the search page."""
    drawn: tuple[str, ...] = ()
    """Products that a published back door drew."""
    reward: float = 0.0
    """Of the purchase, on the last page."""

    @property
    def plain(self) -> "View":
        """The view without what plain text does not show."""
        shown = self.options if self.kind is Kind.done else ()
        # Spelt out, as `replace` is slow and every step asks for it.
        return View(
            self.kind,
            self.keywords,
            self.page,
            self.asin,
            self.part,
            shown,
            drawn=self.drawn,
            reward=self.reward,
        )


class Role(Enum):
    """What a piece of a page is."""

    text = "text"
    button = "button"
    link = "link"
    """To a product."""
    option = "option"


@dataclass(frozen=True)
class Piece:
    """One piece of text on a page."""

    text: str
    role: Role = Role.text


@dataclass(frozen=True)
class Page:
    """A page, which shows the buyer's instruction between `head` and `pieces`; the last page does not."""

    head: tuple[str, ...]
    pieces: tuple[Piece, ...]
    clicks: Mapping[str, Role] = field(repr=False)
    """What can be clicked, lower-case, in order."""

    @cached_property
    def body(self) -> str:
        """Mode `text` after the instruction."""
        return SEPARATOR.join(piece.text.strip() for piece in self.pieces)

    def text(self, instruction: str) -> str:
        """Mode `text`: pieces joined by separators. What was chosen or visited does not show."""
        shown = (*(text.strip() for text in self.head), instruction, self.body) if self.head else (self.body,)
        return SEPARATOR.join(shown)

    def rich(self, instruction: str, marked: frozenset[str]) -> str:
        """Mode `text_rich`: a line for each piece, buttons as such, the `marked` ones as clicked."""
        top = "".join(f"{line}\n" for line in (*self.head, instruction)) if self.head else ""
        return top + self.rich_body(marked)

    def rich_body(self, marked: frozenset[str]) -> str:
        """Mode `text_rich` after the instruction."""
        return "".join(_rich(piece, piece.text in marked) for piece in self.pieces)

    def chosen_lines(self, marked: frozenset[str]) -> str:
        """What stands above the instruction in mode `text_rich`: the clicked options, last one first."""
        options = [piece.text for piece in self.pieces if piece.role is Role.option and piece.text in marked]
        return "".join(f"You have clicked {option}.\n" for option in reversed(options))


def _rich(piece: Piece, marked: bool) -> str:
    if piece.role is Role.text:
        return f"{piece.text}\n"
    name = "clicked button" if marked else "button"
    before = {Role.option: "  ", Role.link: "\n"}.get(piece.role, "")
    return f"{before}[{name}] {piece.text} [{name}_]\n"


def page_of(pieces: list[Piece], head: tuple[str, ...] = ("Instruction:",)) -> Page:
    """A page of these pieces. Buttons are clickable before links and options, whatever their places."""
    rank = (Role.button, Role.link, Role.option)
    clicks: dict[str, Role] = {}
    for role in rank:
        clicks.update({piece.text.lower(): role for piece in pieces if piece.role is role})
    return Page(head, tuple(pieces), clicks)


def index_page(button: bool) -> Page:
    """The page with the search bar. The published engine lists its button, which does nothing."""
    page = page_of([Piece("Search", Role.button)], ("WebShop", "Instruction: "))
    return page if button else replace(page, clicks={})


def results_page(view: View, hits: tuple[str, ...], products: Mapping[str, Product], endless: bool) -> Page:
    """One page of search results; `endless` offers a next page beyond the last one too."""
    number = view.page or 0
    pieces = [_button("Back to Search"), Piece(f"Page {number} (Total results: {len(hits)})")]
    if number > 1:
        pieces.append(_button("< Prev"))
    if endless or number * PER_PAGE < len(hits):
        pieces.append(_button("Next >"))
    for asin in hits[(number - 1) * PER_PAGE : number * PER_PAGE] if number > 0 else ():
        product = products[asin]
        pieces += [Piece(asin, Role.link), *_texts(product.title, product.price_tag)]
    return page_of(pieces)


def item_page(product: Product, attributes: bool) -> Page:
    """A product's page."""
    pieces = [_button("Back to Search"), _button("< Prev")]
    for group, values in product.options.items():
        pieces += [*_texts(group), *(Piece(value, Role.option) for value in values)]
    pieces += _texts(product.title, f"Price: {product.price_tag}", "Rating: N.A.")
    pieces += [_button(part) for part in (PARTS if attributes else PARTS[:-1])]
    return page_of([*pieces, _button("Buy Now")])


def part_page(product: Product, part: str) -> Page:
    """A page about one side of a product. Nobody has reviewed anything."""
    texts = {
        "Description": _texts(product.description),
        "Features": [Piece(f" {bullet}") for bullet in product.bullets],
        "Attributes": [
            *(Piece(f" {attribute}") for attribute in product.attributes),
            *_texts(product.category, product.query, product.kind),
        ],
    }
    return page_of([_button("Back to Search"), _button("< Prev"), *texts.get(part, [])])


def done_page(view: View) -> Page:
    """The last page, written for the people who once shopped here, with the reward."""
    options = json.dumps(dict(view.options), sort_keys=True)
    for letter in "<>&'":
        options = options.replace(letter, f"\\u{ord(letter):04x}")
    lines = ["Thank you for shopping with us!", "Your code: ", "None", " (Paste it in your MTurk interface.)"]
    lines += ["Purchased", "asin", view.asin or "", "options", options, "attrs", "None", "category", "None"]
    lines += [
        "query",
        "None",
        "product category",
        "None",
        "Target",
        "asin",
        "options",
        "attrs",
        "price upper",
    ]
    lines += ["instuction text", "category", "product category", "query", "Goal ", "None", "Reward"]
    lines += ["Your score (min 0.0, max 1.0)", str(view.reward), "Reward Details ", "None"]
    return page_of([Piece(line) for line in lines], ())


def _button(text: str) -> Piece:
    return Piece(text, Role.button)


def _texts(*texts: str) -> list[Piece]:
    """Texts that are not empty: an empty one leaves no trace on a page."""
    return [Piece(text) for text in texts if text]
