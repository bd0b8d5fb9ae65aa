"""Teacher-forced passes over (prompt, response) rows: what they share from their start is computed once.

Shape suffixes: R rows, U distinct rows, P positions of their prefix tree, B its paths, T response tokens of
the R rows, M of the tree, W width, V vocabulary.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from harness.policy.gpt2 import Policy
from harness.policy.model import trunk
from harness.policy.tree import Paths, Tree, through
from harness.records import Step

Row = tuple[tuple[int, ...], tuple[int, ...]]
"""(prompt ids, response ids)."""
MOST_LOGITS = 2**24
"""Logits that are held at once: 64 MiB in fp32."""


@dataclass(frozen=True)
class Rows:
    """Rows laid out as a prefix tree, and where each row's response tokens are in it."""

    ids_P: Tensor
    """Token ids of the positions."""
    column_P: Tensor
    """Their places in their rows."""
    paths: Paths
    """The rows, for attention."""
    place_M: Tensor
    """Position whose hidden state predicts each response token."""
    target_M: Tensor
    """The response tokens."""
    index_T: Tensor
    """For each response token of the R rows, in order, its number among M."""
    length_R: NDArray[np.int64]
    """Tokens of each row, prompt and response."""
    length_U: NDArray[np.int64]
    """Tokens of each distinct row."""
    length_B: NDArray[np.int64]
    """Tokens of each row that attention runs along: those that are not a prefix of another row."""

    @staticmethod
    def of(rows: Sequence[Row]) -> "Rows":
        """Lay out `rows`, whose prompts have at least one token."""
        distinct = {row: i for i, row in enumerate(dict.fromkeys(rows))}
        tree = Tree.of([prompt + response for prompt, response in distinct])
        response_U = [
            positions[len(prompt) :] for (prompt, _), positions in zip(distinct, tree.position_R, strict=True)
        ]
        position_T = np.concatenate([response_U[distinct[row]] for row in rows])
        position_M, index_T = np.unique(position_T, return_inverse=True)
        length_U = np.array([len(positions) for positions in tree.position_R])
        return Rows(
            ids_P=torch.from_numpy(tree.ids_P),
            column_P=torch.from_numpy(tree.column_P),
            paths=tree.paths,
            place_M=torch.from_numpy(tree.parent_P[position_M]),
            target_M=torch.from_numpy(tree.ids_P[position_M]),
            index_T=torch.from_numpy(index_T),
            length_R=length_U[[distinct[row] for row in rows]],
            length_U=length_U,
            length_B=tree.length_B,
        )

    @property
    def positions(self) -> int:
        """Tokens that go through the linear layers."""
        return len(self.ids_P)

    def cost(self, form: Callable[..., int], *, distinct: bool = False) -> tuple[int, int, int]:
        """What a pass over the rows is booked as: tokens, nominal and computed operations.

        `form` is a closed form of the model that makes it. Nominal is every row as if nothing were shared;
        with `distinct`, equal rows count once.
        """
        lengths = self.length_U if distinct else self.length_R
        return int(lengths.sum()), form(lengths), form(self.length_B, self.positions, self.predicted)

    @property
    def predicted(self) -> int:
        """Positions whose logits, or values, are computed."""
        return len(self.target_M)


def rows_of(steps: Sequence[Step]) -> list[Row]:
    """The rows of steps."""
    return [(step.prompt_ids, step.response_ids) for step in steps]


def hidden_states(backbone: nn.Module, rows: Rows) -> Tensor:
    """Hidden states (M, W) before each response token of the tree, on the backbone's device."""
    device = next(backbone.parameters()).device
    ids_P, column_P = rows.ids_P.to(device), rows.column_P.to(device)
    hidden_PW = through(backbone, ids_P, column_P, rows.paths.to(device))
    return hidden_PW[rows.place_M.to(device)]


def logprobs(model: Policy, rows: Rows) -> tuple[Tensor, Tensor]:
    """Log-probabilities and full-vocabulary entropies (nats) of the response tokens, both (T,), in memory."""
    return token_logprobs(model, hidden_states(trunk(model), rows), rows)


def token_logprobs(model: Policy, hidden_MW: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """`logprobs` from the trunk's hidden states (M, W)."""
    head = model.get_output_embeddings()
    target_M = rows.target_M.to(hidden_MW.device)
    logprob_M, entropy_M = chunked(head, hidden_MW, target_M, model.config.vocab_size)
    return spread(logprob_M, rows), spread(entropy_M, rows)


def chunked(head: nn.Module, hidden_MW: Tensor, target_M: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (M,), with at most `MOST_LOGITS` logits at a time.

    If that takes several chunks, the backward pass computes each one's logits again and none are kept.
    """
    size = most_at_once(vocabulary)
    if len(target_M) <= size:
        return of_head(head, hidden_MW, target_M)
    parts = [
        checkpoint(of_head, head, hidden_cW, target_c, use_reentrant=False, preserve_rng_state=False)
        for hidden_cW, target_c in zip(hidden_MW.split(size), target_M.split(size), strict=True)
    ]
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])


def most_at_once(vocabulary: int) -> int:
    """Positions whose logits are held at once. With more of them, training computes all logits twice."""
    return max(1, MOST_LOGITS // vocabulary)


def of_head(head: nn.Module, hidden_MW: Tensor, target_M: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies (M,) under the head's logits, in fp32 or better."""
    logits_MV = head(hidden_MW)
    at_least = torch.promote_types(logits_MV.dtype, torch.float32)
    logprob_MV = torch.log_softmax(logits_MV, dim=-1, dtype=at_least)
    entropy_M = -(logprob_MV.exp() * logprob_MV).sum(-1)
    return logprob_MV.gather(1, target_M[:, None]).squeeze(1), entropy_M


def spread(x_M: Tensor, rows: Rows) -> Tensor:
    """Numbers of the tree's response tokens given to all of them (T,), in main memory."""
    return x_M.cpu()[rows.index_T]
