"""Which words of a title are nouns: what two products' titles have in common is a part of the score."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from typing import Any

from envs.webshop.catalogue import read_json
from harness.errors import UserError

MODEL = "en_core_web_sm"
NOUNS = ("NOUN", "PROPN")


class Nouns(Enum):
    """Who tells nouns."""

    words = "words"
    """Nobody: every word between blanks counts as one. The same on every machine."""
    listed = "listed"
    """The file `title_nouns.json` beside the catalogue: title -> nouns. The authored catalogue has one."""
    spacy = "spacy"
    """spaCy's model `en_core_web_sm`, as in the published engine."""


class Tagger(ABC):
    """Tells the nouns of titles."""

    version: str
    """Changes whenever it may tell other nouns; part of the panel's hash."""

    @abstractmethod
    def nouns(self, title: str) -> frozenset[str]:
        """The nouns, lower-case."""


class EveryWord(Tagger):
    """`Nouns.words`."""

    version = "words"

    def nouns(self, title: str) -> frozenset[str]:
        return frozenset(title.lower().split())


class Listed(Tagger):
    """`Nouns.listed`."""

    version = "listed"

    def __init__(self, path: Path, titles: Iterable[str]) -> None:
        """`titles`: all that may be asked for."""
        self._nouns = {title: frozenset(nouns) for title, nouns in read_json(path, dict).items()}
        missing = next((title for title in titles if title not in self._nouns), None)
        if missing is not None:
            raise UserError(f"{path} lacks the title {missing!r}: set env.nouns=words or env.nouns=spacy")

    def nouns(self, title: str) -> frozenset[str]:
        return self._nouns[title]


class Spacy(Tagger):
    """`Nouns.spacy`."""

    def __init__(self) -> None:
        self._model = spacy_model()
        self.version = f"{MODEL} {self._model.meta['version']}"
        self._cached = functools.lru_cache(maxsize=65_536)(self._tag)

    def nouns(self, title: str) -> frozenset[str]:
        return self._cached(title)

    def _tag(self, title: str) -> frozenset[str]:
        return frozenset(word.text.lower() for word in self._model(title) if word.pos_ in NOUNS)


def spacy_model() -> Any:
    """spaCy with its small English model, imported late because both are the user's own."""
    try:
        import spacy

        return spacy.load(MODEL)
    except (ImportError, OSError) as error:
        raise UserError(
            f"env.nouns=spacy needs spaCy and its model: "
            f"pip install spacy && python -m spacy download {MODEL} (or set env.nouns=words)"
        ) from error
