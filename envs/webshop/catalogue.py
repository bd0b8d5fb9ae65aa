"""Products, read from files in WebShop's own formats (`items_shuffle…`, `items_ins_v2…`)."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError

NO_PRICE = 100.0
"""What a product without a price costs."""
LONGEST_ID = 10
"""Entries with a longer id are no products."""
NO_ATTRIBUTE = "DUMMY_ATTR"
"""The only attribute of a product for which `items_ins_v2…` has none."""

Entry = Mapping[str, Any]
"""A JSON object of one of the files."""


@dataclass(frozen=True)
class Product:
    """One product, as its pages and its score need it."""

    asin: str
    """Its id."""
    title: str
    description: str
    bullets: tuple[str, ...]
    attributes: tuple[str, ...]
    category: str
    query: str
    """The catalogue's own keywords for its kind, lower-case."""
    kind: str
    """Where it stands in the shop's tree of categories, from the root, separated by `›`."""
    options: Mapping[str, tuple[str, ...]]
    """Group -> values, as they are shown."""
    prices: tuple[float, ...]
    """One price, or the ends of a range."""
    document: str
    """What the search engine knows of it."""

    @property
    def price_tag(self) -> str:
        """The price as pages show it."""
        return " to ".join(f"${price}" for price in self.prices)


@dataclass(frozen=True)
class Catalogue:
    """All products in the catalogue's order, and the two files that goals are made from."""

    products: Mapping[str, Product]
    """Id -> product."""
    instructions: Mapping[str, Entry]
    """`items_ins_v2…`: id -> attributes and, to make goals from, an instruction."""
    human: Mapping[str, Sequence[Entry]]
    """`items_human_ins`: id -> instructions that people wrote."""


def read_catalogue(entries: Path, instructions: Path, human: Path | None, tidy: bool) -> Catalogue:
    """The catalogue of these files; `human` is None if no goal needs it.

    `tidy` keeps the values of both groups where the names of two groups differ in case alone, and leaves no
    double blanks in them; without, the second one's replace the first one's, as in the published engine.
    """
    attributes = read_json(instructions, dict)
    products: dict[str, Product] = {}
    for number, entry in enumerate(read_json(entries, list)):
        try:
            asin = str(entry["asin"])
            if asin == "nan" or len(asin) > LONGEST_ID or asin in products:
                continue
            products[asin] = _product(asin, entry, attributes.get(asin, {}), tidy)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"entry {number} of {entries} is not in WebShop's format ({error!r}): get the file again"
            ) from error
    if not products:
        raise UserError(f"{entries} holds no product: get the file again")
    return Catalogue(products, attributes, {} if human is None else read_json(human, dict))


def read_json(path: Path, kind: type) -> Any:
    """A JSON file, gzipped or not."""
    try:
        raw = path.read_bytes()
        content = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"can't read {path} ({error}): get the file again") from error
    if not isinstance(content, kind):
        raise UserError(f"{path} is not in WebShop's format (no JSON {kind.__name__}): get the file again")
    return content


def _product(asin: str, entry: Entry, instruction: Entry, tidy: bool) -> Product:
    bullets = entry.get("small_description") or ()
    bullets = (bullets,) if isinstance(bullets, str) else tuple(bullets)
    title, description = entry["name"] or "", entry.get("full_description") or ""
    options = _options(entry.get("customization_options") or {}, tidy)
    return Product(
        asin=asin,
        title=title,
        description=description,
        bullets=bullets,
        attributes=tuple(instruction.get("attributes") or (NO_ATTRIBUTE,)),
        category=entry["category"],
        query=entry["query"].lower().strip(),
        kind=entry["product_category"],
        options=options,
        prices=_prices(entry.get("pricing")),
        document=_document(title, description, bullets[0] if bullets else "", options),
    )


def _options(groups: Mapping[str, Any], tidy: bool) -> dict[str, tuple[str, ...]]:
    options: dict[str, tuple[str, ...]] = {}
    for name, values in groups.items():
        if values is None:
            continue
        shown = [each["value"].strip().replace("/", " | ").lower() for each in values]
        if tidy:
            shown = [*options.get(name.lower(), ()), *(" ".join(value.split()) for value in shown)]
            shown = [value for value in dict.fromkeys(shown) if value]
        options[name.lower()] = tuple(shown)
    return options


def _prices(text: str | None) -> tuple[float, ...]:
    prices = [float(part.replace(",", "")) for part in (text or "").split("$")[1:]]
    return tuple(prices[:2]) or (NO_PRICE,)


def _document(title: str, description: str, bullet: str, options: Mapping[str, tuple[str, ...]]) -> str:
    listed = [f"{name}: {', '.join(values)}" for name, values in options.items()]
    return " ".join([title, description, bullet, ", and ".join(listed)]).lower()
