"""Which contexts the rows of a key-value cache hold, to be found again by their first tokens."""

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from sys import byteorder

import numpy as np
from numpy.typing import NDArray

TOKEN = 4
"""Bytes of a token in a key."""


def key_of(ids: Sequence[int]) -> bytes:
    """Ids as bytes that sort as the ids do; the key of a longer context starts with that of its first ids."""
    words = array("I", ids)
    if byteorder == "little":
        words.byteswap()
    return words.tobytes()


def ids_of(key: bytes) -> NDArray[np.uint32]:
    """The ids of a key."""
    return np.frombuffer(key, ">u4")


class Prefixes:
    """Contexts, each with its row, least recently used first.

    Of sorted contexts, the two between which another one belongs share the most first tokens with it.
    """

    def __init__(self) -> None:
        self._sorted: list[bytes] = []
        self._row: OrderedDict[bytes, int] = OrderedDict()

    def __contains__(self, key: bytes) -> bool:
        return key in self._row

    def row(self, key: bytes) -> int:
        """The row of a context."""
        return self._row[key]

    def latest(self, count: int) -> list[tuple[bytes, int]]:
        """The `count` contexts used last and their rows, least recently used first."""
        return list(self._row.items())[max(0, len(self._row) - count) :]

    def oldest(self) -> bytes:
        """The context least recently used."""
        return next(iter(self._row))

    def match(self, key: bytes) -> tuple[bytes, int]:
        """The context that shares the most first tokens with `key`, and how many; it counts as used now."""
        parent = key[:-TOKEN]
        if parent in self._row:  # decoding: nothing else can be worth more
            self._row.move_to_end(parent)
            return parent, len(parent) // TOKEN
        place = bisect_left(self._sorted, key)
        best, most = b"", 0
        for other in self._sorted[max(0, place - 1) : place + 1]:
            shared = common(key, other)
            if shared > most:
                best, most = other, shared
        if most:
            self._row.move_to_end(best)
        return best, most

    def add(self, key: bytes, row: int) -> list[int]:
        """Note that `row` holds a context; the rows that this makes superfluous, maybe `row` itself."""
        place = bisect_left(self._sorted, key)
        if place < len(self._sorted) and self._sorted[place].startswith(key):
            return [row]
        spare = []
        while place and key.startswith(self._sorted[place - 1]):
            place -= 1
            spare.append(self._row.pop(self._sorted.pop(place)))
        self._sorted.insert(place, key)
        self._row[key] = row
        return spare

    def take(self, key: bytes) -> int:
        """Forget a context; its row."""
        del self._sorted[bisect_left(self._sorted, key)]
        return self._row.pop(key)


def common(left: bytes, right: bytes) -> int:
    """How many first tokens two contexts share."""
    short = min(len(left), len(right))
    if left[:short] == right[:short]:
        return short // TOKEN
    return int((ids_of(left[:short]) != ids_of(right[:short])).argmax())
