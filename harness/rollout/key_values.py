"""Keys and values of contexts, in rows of preallocated tensors, and attention over them.

The new tokens of all contexts of a pass are one packed sequence without padding.

Shape suffixes: N rows, C columns (tokens that a row has room for), G key-value heads, H = G R query heads, D
their width; S contexts of a pass, T their new tokens, Q the most new tokens of one, L the longest context.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from harness.policy.gpt2 import Attention
from harness.policy.prefixes import TOKEN
from harness.policy.shapes import SmallShape

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

WORTH_A_CALL = 2**17
"""Bytes of keys from which neighbouring rows get a call of their own; fewer are gathered faster."""


class KeyValues:
    """Rows of keys and values. A row holds those of the first tokens of one context."""

    def __init__(self, config: "PreTrainedConfig | SmallShape", device: torch.device) -> None:
        heads = config.num_attention_heads
        self.device = device
        self.groups: int = getattr(config, "num_key_value_heads", None) or heads
        self.width: int = getattr(config, "head_dim", None) or config.hidden_size // heads
        self.columns = 0
        self.layers = [
            torch.empty(2, 0, self.groups, 0, self.width, device=device)
        ] * config.num_hidden_layers
        """(2, N, G, C, D) of each layer: keys, values."""

    @property
    def dtype(self) -> torch.dtype:
        return self.layers[0].dtype

    def resize(self, rows: int, columns: int, dtype: torch.dtype, kept: Sequence[int]) -> None:
        """Have `rows` rows of `columns` columns; the rows `kept` become the first ones, in their order."""
        index = torch.tensor(kept, dtype=torch.long, device=self.device)
        before, self.columns = self.columns, columns
        for number, old in enumerate(self.layers):
            self.layers[number] = self._zeros(rows, dtype)
            self.layers[number][:, : len(kept), :, :before] = old[:, index]

    def copy(self, sources: Sequence[int], targets: Sequence[int], length: int) -> None:
        """Copy the first `length` tokens of rows; all sources are read before a target is written."""
        source = torch.tensor(sources, device=self.device)
        target = torch.tensor(targets, device=self.device)
        for layer in self.layers:
            layer[:, target, :, :length] = layer[:, source, :, :length]

    def _zeros(self, rows: int, dtype: torch.dtype) -> Tensor:
        # Zeros, as masked positions must be numbers too. numpy's take memory only where they are written to.
        shape = (2, rows, self.groups, self.columns, self.width)
        if self.device.type == "cpu":
            bytes_ = np.zeros(math.prod(shape) * dtype.itemsize, np.uint8)
            return torch.from_numpy(bytes_).view(dtype).view(shape)
        return torch.zeros(shape, dtype=dtype, device=self.device)


@dataclass(frozen=True)
class Placed:
    """A context with a row of its own while the model reads it."""

    key: bytes
    row: int
    cached: int
    """How many of the first tokens the row holds; fewer than all."""

    @property
    def length(self) -> int:
        """Tokens of the context."""
        return len(self.key) // TOKEN

    @property
    def new(self) -> int:
        """Tokens to read."""
        return self.length - self.cached


@dataclass(frozen=True)
class Span:
    """Contexts of a pass that attend in one call."""

    contexts: slice
    rows: slice | Tensor
    """Neighbouring rows are viewed, others gathered."""
    length: int
    """Of the longest context."""
    mask: Tensor
    """(S, 1, Q or R Q, L): 0 where a new token looks, else -inf."""


class Pass:
    """One forward pass over the new tokens of contexts: where each is, and what it attends to."""

    def __init__(self, store: KeyValues, contexts: Sequence[Placed], heads: int) -> None:
        """`contexts` in the order of their rows; the model has `heads` query heads."""
        self.store = store
        self.seen: set[int] = set()
        """Layers that have attended."""
        self._repeat = heads // store.groups
        rows, ends = [context.row for context in contexts], [context.length for context in contexts]
        numbers = [rows, [context.cached for context in contexts], ends]
        row_S, start_S, end_S = torch.tensor(numbers, device=store.device)
        new_S = end_S - start_S
        last_S = new_S.cumsum(0) - 1
        self._shape = (len(rows), int(new_S.max()))
        self._context_T = torch.arange(len(rows), device=store.device).repeat_interleave(new_S)
        first_T = (last_S - new_S + 1)[self._context_T]
        self._offset_T = torch.arange(len(first_T), device=store.device) - first_T
        self._row_T = row_S[self._context_T]
        self.position_T = start_S[self._context_T] + self._offset_T
        self.last_S = last_S
        """Place of each context's last token among the T."""
        self._spans = [self._span(part, rows, ends, start_S) for part in self._parts(rows, max(ends))]

    def attend(
        self, number: int, query_HTD: Tensor, key_GTD: Tensor, value_GTD: Tensor, scale: float | None
    ) -> Tensor:
        """Store the new tokens' keys and values; what they read (T, H, D)."""
        self.seen.add(number)
        layer = self.store.layers[number]
        layer[0][self._row_T, :, self.position_T] = key_GTD.transpose(0, 1).to(layer.dtype)
        layer[1][self._row_T, :, self.position_T] = value_GTD.transpose(0, 1).to(layer.dtype)
        contexts, new = self._shape
        query_THD = query_HTD.transpose(0, 1).to(layer.dtype)
        _, heads, width = query_THD.shape
        if new > 1:
            padded = query_THD.new_zeros(contexts, new, heads, width)
            padded[self._context_T, self._offset_T] = query_THD
            query_THD = padded
        # The R query heads of a key-value head count as further queries of it: nothing is repeated.
        groups = self.store.groups
        query_SGRQD = query_THD.reshape(contexts, new, groups, self._repeat, width).permute(0, 2, 3, 1, 4)
        query = query_SGRQD.reshape(contexts, groups, self._repeat * new, width)
        read = [self._read(span, layer, query, scale) for span in self._spans]
        read_SGRQD = (read[0] if len(read) == 1 else torch.cat(read)).view(query_SGRQD.shape)
        read_SQHD = read_SGRQD.permute(0, 3, 1, 2, 4).reshape(contexts, new, heads, width)
        return read_SQHD[self._context_T, self._offset_T] if new > 1 else read_SQHD[:, 0]

    def read_by(self, layer: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What a layer of the small policy reads: (1, T, H, D) of (1, H, T, D)."""
        return self.attend(layer.layer_idx, query[0], key[0], value[0], layer.scaling)[None]

    def _read(self, span: Span, layer: Tensor, query: Tensor, scale: float | None) -> Tensor:
        key, value = layer[:, span.rows, :, : span.length]
        return scaled_dot_product_attention(query[span.contexts], key, value, span.mask, scale=scale)

    def _parts(self, rows: Sequence[int], longest: int) -> list[slice]:
        """Runs of neighbouring rows, or all contexts at once if the runs are too small."""
        breaks = [i + 1 for i, (row, following) in enumerate(pairwise(rows)) if following != row + 1]
        bounds = [0, *breaks, len(rows)]
        token = self.store.groups * self.store.width * self.store.dtype.itemsize
        if breaks and len(rows) * longest * token < len(bounds) * WORTH_A_CALL:
            return [slice(0, len(rows))]
        return [slice(*each) for each in pairwise(bounds)]

    def _span(self, part: slice, rows: Sequence[int], ends: Sequence[int], start_S: Tensor) -> Span:
        device, mine = self.store.device, rows[part]
        together = mine[-1] - mine[0] == len(mine) - 1
        length = max(ends[part])
        reach_SQ = start_S[part, None] + torch.arange(self._shape[1], device=device)
        hidden_SQL = torch.arange(length, device=device) > reach_SQ[:, :, None]
        mask = torch.zeros(hidden_SQL.shape, dtype=self.store.dtype, device=device)
        mask = mask.masked_fill_(hidden_SQL, -torch.inf)[:, None]
        return Span(
            contexts=part,
            rows=slice(mine[0], mine[-1] + 1) if together else torch.tensor(mine, device=device),
            length=length,
            mask=mask.repeat(1, 1, self._repeat, 1) if self._shape[1] > 1 else mask,
        )
