"""The shop's search engine: BM25 over the catalogue, by `bm25s`, with the constants of WebShop's Lucene."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.webshop.catalogue import Product
from harness.errors import UserError

K1, B = 0.9, 0.4
MOST = 50
"""Hits of one search."""


def library() -> Any:
    """The package `bm25s`, imported late because it is an extra."""
    try:
        import bm25s
    except ImportError as error:
        raise UserError("env=webshop needs an extra: pip install 'creditbench[webshop]'") from error
    return bm25s


class SearchEngine:
    """Ranks products by BM25, best first, ties by id."""

    def __init__(self, products: Sequence[Product]) -> None:
        self._ids = [product.asin for product in products]
        self._index = library().BM25(k1=K1, b=B)
        self._index.index(_words([product.document for product in products]), show_progress=False)
        self._hits = functools.lru_cache(maxsize=65_536)(self._names)

    def hits(self, query: str) -> tuple[str, ...]:
        """The ids of the first products that share a word with the query, remembered by query."""
        return self._hits(query)

    def ranked(self, query: str) -> list[tuple[str, float]]:
        """The first products that share a word with the query, and their scores."""
        (words,) = library().tokenize([query], stopwords="en", return_ids=False, show_progress=False)
        known = [word for word in words if word in self._index.vocab_dict]
        if not known:
            return []
        scores = self._index.get_scores(known)
        found = np.flatnonzero(scores)
        if len(found) > MOST:
            least = np.partition(scores[found], -MOST)[-MOST]
            found = found[scores[found] >= least]
        best = sorted((-float(scores[i]), self._ids[i]) for i in found)
        return [(asin, -score) for score, asin in best[:MOST]]

    def _names(self, query: str) -> tuple[str, ...]:
        return tuple(asin for asin, _ in self.ranked(query))


def _words(texts: list[str]) -> Any:
    return library().tokenize(texts, stopwords="en", show_progress=False)
