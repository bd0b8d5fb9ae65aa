"""Rows as a prefix tree: what rows have in common from their start is one path, and is computed once.

A causal model's hidden state at a token is a function of the tokens up to it, so positions of rows that agree
so far are one position of the tree: equal rows, a group's common prompt, a continuation's kept steps, and a
step whose prompt is the whole step before. Every linear layer sees every position once, without any padding.
Attention runs along the paths from the root to the leaves, in padded blocks of similar lengths, where padding
comes after everything that is read and needs no mask; what paths share is attended from once for each path.

Shape suffixes: U rows in the order of their tokens, L columns, P positions, X cells of all blocks, B rows of
one block, H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from harness.policy.gpt2 import Attention, Trunk

Ints = NDArray[np.int64]
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys and values (B, H, L, D) of a block -> what is read (B, L, H, D), causally."""
SHORTEST = 0.75
"""Shortest path of a block, as a share of its longest: at most a quarter of a block is padding."""


@dataclass(frozen=True)
class Paths:
    """Where attention finds the rows among the positions."""

    position_X: Tensor
    """Positions of rows that are not a prefix of another row, as blocks laid end to end; 0 as padding, which
    is read by nobody."""
    shapes: tuple[tuple[int, int], ...]
    """(B, L) of each block."""
    home_P: Tensor
    """For each position, a cell that holds it."""

    def to(self, device: torch.device) -> Paths:
        """The same on a device."""
        return Paths(self.position_X.to(device), self.shapes, self.home_P.to(device))


@dataclass(frozen=True)
class Tree:
    """The positions of some rows."""

    ids_P: Ints
    """Token of each position."""
    column_P: Ints
    """Its place in its rows, from 0."""
    parent_P: Ints
    """The position before it; -1 at a root."""
    position_R: list[Ints]
    """The positions of each row, in the order in which the rows were given."""
    length_B: Ints
    """Lengths of the rows that are not a prefix of another row: the paths of attention."""
    paths: Paths

    @staticmethod
    def of(rows: Sequence[tuple[int, ...]]) -> Tree:
        """The tree of rows of at least one token."""
        # Big-endian bytes sort as the numbers do, so that each row follows one it shares most with.
        keys = [np.array(row, dtype=">u4").tobytes() for row in rows]
        order = sorted(range(len(rows)), key=keys.__getitem__)
        length_U = np.array([len(rows[i]) for i in order])
        ids_UL = np.full((len(rows), int(length_U.max())), -1, dtype=np.int64)
        for u, i in enumerate(order):
            ids_UL[u, : length_U[u]] = rows[i]
        column_L = np.arange(ids_UL.shape[1])
        known_U = np.append(0, common(ids_UL[:-1], ids_UL[1:]))
        known_U = np.minimum(known_U, length_U)
        new_UL = (column_L >= known_U[:, None]) & (column_L < length_U[:, None])
        number_UL = np.where(new_UL, np.cumsum(new_UL).reshape(new_UL.shape) - 1, -1)
        position_UL = np.maximum.accumulate(number_UL, axis=0)
        before_UL = np.column_stack([np.full(len(rows), -1), position_UL[:, :-1]])
        leaf_U = np.append(known_U[1:] < length_U[:-1], True)
        rank_R = np.argsort(order)
        return Tree(
            ids_P=ids_UL[new_UL],
            column_P=np.broadcast_to(column_L, new_UL.shape)[new_UL],
            parent_P=before_UL[new_UL],
            position_R=[position_UL[u, : length_U[u]] for u in rank_R],
            length_B=length_U[leaf_U],
            paths=_paths(position_UL[leaf_U], length_U[leaf_U], int(new_UL.sum())),
        )


def common(left_UL: Ints, right_UL: Ints) -> Ints:
    """How many leading tokens (U,) are equal."""
    differs_UL = left_UL != right_UL
    known_U: Ints = np.where(differs_UL.any(axis=1), differs_UL.argmax(axis=1), left_UL.shape[1])
    return known_U


def _paths(position_BL: Ints, length_B: Ints, positions: int) -> Paths:
    order = np.argsort(-length_B, kind="stable")
    blocks = []
    while len(order):
        longest = length_B[order[0]]
        alike = int((length_B[order] >= SHORTEST * longest).sum())
        block, order = order[:alike], order[alike:]
        inside = np.arange(longest) < length_B[block, None]
        blocks.append(np.where(inside, position_BL[block, :longest], -1))
    position_X = np.concatenate([block.ravel() for block in blocks])
    home_P = np.empty(positions, dtype=np.int64)
    home_P[position_X[position_X >= 0]] = np.flatnonzero(position_X >= 0)
    shapes = tuple((len(block), block.shape[1]) for block in blocks)
    return Paths(torch.from_numpy(position_X.clip(0)), shapes, torch.from_numpy(home_P))


def along(query: Tensor, key: Tensor, value: Tensor, paths: Paths, attend: Attend) -> Tensor:
    """What is read (1, P, H, D) by attention of (1, H, P, D) along `paths`."""
    query, key = query.to(value.dtype), key.to(value.dtype)
    blocks = zip(*(_blocks(x, paths) for x in (query, key, value)), strict=True)
    output_XW = torch.cat([attend(q, k, v).flatten(0, 1).flatten(1) for q, k, v in blocks])
    output_PW = nn.functional.embedding(paths.home_P, output_XW)
    return output_PW.view(1, len(output_PW), -1, value.shape[-1])


def _blocks(x: Tensor, paths: Paths) -> list[Tensor]:
    """The blocks' rows (B, H, L, D) of (1, H, P, D)."""
    # An embedding's backward pass adds up what paths share, several times faster than index_select's.
    x_PW = x[0].transpose(0, 1).flatten(1)
    x_XHD = nn.functional.embedding(paths.position_X, x_PW).unflatten(1, (x.shape[1], x.shape[3]))
    parts = x_XHD.split([rows * length for rows, length in paths.shapes])
    return [part.unflatten(0, shape).transpose(1, 2) for part, shape in zip(parts, paths.shapes, strict=True)]


def through(backbone: nn.Module, ids_P: Tensor, column_P: Tensor, paths: Paths) -> Tensor:
    """Hidden states (P, W) of a tree's positions."""
    if isinstance(backbone, Trunk):
        return backbone.states(ids_P, column_P, partial(_read, paths=paths))
    # Imported late: the small policy needs nothing of transformers.
    from harness.policy.modules import states

    return states(backbone, ids_P, column_P, paths)


def _read(layer: Attention, query: Tensor, key: Tensor, value: Tensor, *, paths: Paths) -> Tensor:
    """What a layer of the small policy reads."""
    return along(query, key, value, paths, partial(_causal, scale=layer.scaling))


def _causal(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    causal = query.shape[2] > 1
    read = scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scale)
    return read.transpose(1, 2)
