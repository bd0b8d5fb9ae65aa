"""Which files a catalogue is read from, and the shop that is made from them."""

import functools
import hashlib
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from envs.webshop.catalogue import Catalogue, read_catalogue
from envs.webshop.goals import Goal, Goals, Prices, make_goals
from envs.webshop.nouns import EveryWord, Listed, Nouns, Spacy, Tagger
from envs.webshop.scoring import Scorer
from envs.webshop.search import SearchEngine, library
from envs.webshop.shop import Shop
from harness.errors import UserError

DEMO = Path(__file__).parent / "demo"
NOUNS_FILE = "title_nouns.json"


class Products(Enum):
    """Which catalogue the shop sells."""

    demo = "demo"
    """62 products that were made up for this purpose and are installed with this package."""
    small = "small"
    """WebShop's 1,000 products, which are the user's own."""
    full = "full"
    """All of WebShop's products, which are the user's own."""

    @property
    def suffix(self) -> str:
        """What the names of its files end with."""
        return "" if self is Products.full else "_1000"


@dataclass(frozen=True)
class Stock:
    """What a shop is made from."""

    folder: Path
    products: Products
    goals: Goals
    nouns: Nouns
    published: bool
    price_seed: int
    show_attributes: bool

    def files(self) -> list[Path]:
        """The files: products, their attributes, human instructions and nouns where they are needed."""
        names = [f"items_shuffle{self.products.suffix}.json", f"items_ins_v2{self.products.suffix}.json"]
        names += ["items_human_ins.json"] if self.goals is Goals.human else []
        names += [NOUNS_FILE] if self.nouns is Nouns.listed else []
        return [self._file(name) for name in names]

    def _file(self, name: str) -> Path:
        for path in (self.folder / name, self.folder / f"{name}.gz"):
            if path.is_file():
                return path
        if not self.folder.is_dir():
            raise UserError(f"there is no folder {self.folder}: set env.data=FOLDER to the one with {name}")
        if name == NOUNS_FILE:
            raise UserError(
                f"{self.folder} has no {name}, which env.nouns=listed reads: "
                "set env.nouns=spacy (as published) or env.nouns=words"
            )
        raise UserError(
            f"{self.folder} has no {name}: put WebShop's files there (its setup.sh names them), or set "
            "env.products=demo"
        )


@dataclass(frozen=True)
class Opened:
    """A shop and what can be wanted in it."""

    shop: Shop
    catalogue: Catalogue
    goals: tuple[Goal, ...]
    """In the published order."""
    content: str
    """SHA-256 of all that pages, goals and scores are made from."""


def folder_of(data: str, products: Products) -> Path:
    """The folder that a catalogue's files are in."""
    if products is Products.demo:
        return DEMO
    folder = data or os.environ.get("WEBSHOP_DATA", "")
    if not folder:
        raise UserError(
            f"env.products={products.value} needs WebShop's files, which are not part of this project: set "
            "env.data=FOLDER or WEBSHOP_DATA, or env.products=demo"
        )
    return Path(folder).expanduser()


@functools.cache
def opened(stock: Stock) -> Opened:
    """The shop of this stock; a process has one, whose pages serve all episodes."""
    entries, instructions, *others = files = stock.files()
    human = others[0] if stock.goals is Goals.human else None
    catalogue = read_catalogue(entries, instructions, human, tidy=not stock.published)
    if stock.products is Products.full:
        _all_there(catalogue, entries)
    prices = Prices(catalogue, stock.price_seed, drawn=stock.published)
    goals = make_goals(catalogue, prices, stock.goals)
    if not goals:
        raise UserError(f"no goal names a product of {entries}: get all files of one set, or set env.goals")
    tagger = _tagger(stock.nouns, files[-1], catalogue)
    engine = SearchEngine(list(catalogue.products.values()))
    scorer = Scorer(tagger, stock.published)
    shop = Shop(catalogue, prices, engine, scorer, stock.published, stock.show_attributes)
    return Opened(shop, catalogue, tuple(goals), _digest(files, tagger))


def _all_there(catalogue: Catalogue, entries: Path) -> None:
    """The small set holds the products of few human goals; the full one must hold all."""
    missing = [asin for asin in catalogue.human if asin not in catalogue.products]
    if missing:
        raise UserError(
            f"{entries} lacks {len(missing)} products that goals name, {missing[0]} for one: "
            "get all files of one set, or set env.products=small"
        )


def _tagger(nouns: Nouns, path: Path, catalogue: Catalogue) -> Tagger:
    if nouns is Nouns.words:
        return EveryWord()
    if nouns is Nouns.spacy:
        return Spacy()
    return Listed(path, (product.title for product in catalogue.products.values()))


def _digest(files: list[Path], tagger: Tagger) -> str:
    digest = hashlib.sha256(f"{library().__version__}/{tagger.version}".encode())
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
