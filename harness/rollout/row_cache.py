"""Which rows of the keys and values hold which contexts."""

from collections.abc import Sequence
from heapq import heappop, heappush

import torch

from harness.policy.prefixes import TOKEN, Prefixes
from harness.rollout.key_values import KeyValues, Placed

LEAST_COLUMNS = 64


class RowCache:
    """A bounded number of rows. If none is free, a new context takes the least recently used one."""

    def __init__(self, key_values: KeyValues, tokens: int, longest: int) -> None:
        """`tokens`: what all rows together have room for; `longest`: tokens that a context can have."""
        self.key_values, self._tokens, self._longest = key_values, tokens, longest
        self._held = Prefixes()
        self._free: list[int] = []
        """A heap: low rows first, so that those in use are neighbours."""

    def capacity(self, length: int) -> int:
        """How many rows there are once each has room for `length` tokens."""
        return self._tokens // self._columns(length)

    def widen(self, length: int, dtype: torch.dtype) -> None:
        """Give each row room for `length` tokens, at the price of having fewer."""
        columns = self._columns(length)
        if columns == self.key_values.columns:
            return
        rows = self._tokens // columns
        kept = self._held.latest(rows)
        self.key_values.resize(rows, columns, dtype, [row for _, row in kept])
        self._held = Prefixes()
        for number, (key, _) in enumerate(kept):
            self._held.add(key, number)
        self._free = list(range(len(kept), rows))

    def place(self, keys: Sequence[bytes]) -> list[Placed]:
        """A row for each of several distinct contexts, holding the longest prefix that is already cached.

        A new context that continues a cached one takes over its row; a shared prefix of any other is copied.
        """
        found = [self._held.match(key) for key in keys]
        sources = [self._held.row(held) if shared else 0 for held, shared in found]
        placed, copies = [], []
        for key, (held, shared), source in zip(keys, found, sources, strict=True):
            # The last token is read in any case: what follows it is the question.
            cached = min(shared, len(key) // TOKEN - 1)
            if cached and shared * TOKEN == len(held) and held in self._held:
                row = self._held.take(held)
            else:
                row = heappop(self._free) if self._free else self._held.take(self._held.oldest())
                if cached:
                    copies.append((source, row, cached))
            placed.append(Placed(key, row, cached))
        if copies:
            # Only now: a source may be another context's row by now, but all are read before one is written.
            from_rows, to_rows, lengths = zip(*copies, strict=True)
            self.key_values.copy(from_rows, to_rows, max(lengths))
        return placed

    def hold(self, placed: Sequence[Placed]) -> None:
        """Contexts have been read: others may start from them."""
        for context in placed:
            for spare in self._held.add(context.key, context.row):
                heappush(self._free, spare)

    def _columns(self, length: int) -> int:
        """A power of two, so that rows are widened seldom; no more than any context needs."""
        columns = max(self.key_values.columns, LEAST_COLUMNS, 1 << (length - 1).bit_length())
        return min(columns, self._longest)
