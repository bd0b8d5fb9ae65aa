"""Teacher-forced passes over (prompt, response) rows: equal rows are computed once.

Shape suffixes: R rows, U distinct rows, T response tokens of the R rows, M of the U rows, W width,
V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.policy.model import trunk
from harness.records import Step

Row = tuple[tuple[int, ...], tuple[int, ...]]
"""(prompt ids, response ids)."""


@dataclass(frozen=True)
class Rows:
    """Distinct rows, padded on the right, and where each row's response tokens are among theirs."""

    ids_UL: Tensor
    """Token ids. Padding comes after everything that is read, so a causal model needs no mask."""
    place_M: Tensor
    """Flat position (row x length + column) of the hidden state that predicts each response token."""
    target_M: Tensor
    """The response tokens."""
    index_T: Tensor
    """For each response token of the R rows, in order, its number among M."""
    length_R: NDArray[np.int64]
    """Tokens of each row, prompt and response."""
    length_U: NDArray[np.int64]
    """Tokens of each distinct row."""

    @staticmethod
    def of(rows: Sequence[Row], pad_id: int) -> "Rows":
        """Lay out `rows`."""
        distinct = {row: i for i, row in enumerate(dict.fromkeys(rows))}
        length_U = np.array([len(prompt) + len(response) for prompt, response in distinct])
        response_U = np.array([len(response) for _, response in distinct])
        ids_UL = np.full((len(distinct), int(length_U.max())), pad_id, dtype=np.int64)
        for i, (prompt, response) in enumerate(distinct):
            ids_UL[i, : length_U[i]] = prompt + response
        start_U = np.cumsum(response_U) - response_U
        row_M = np.repeat(np.arange(len(distinct)), response_U)
        column_M = np.arange(len(row_M)) - start_U[row_M] + (length_U - response_U)[row_M]
        row_R = np.array([distinct[row] for row in rows])
        row_T = np.repeat(row_R, response_U[row_R])
        first_R = np.cumsum(response_U[row_R]) - response_U[row_R]
        offset_T = np.arange(len(row_T)) - np.repeat(first_R, response_U[row_R])
        return Rows(
            ids_UL=torch.from_numpy(ids_UL),
            place_M=torch.from_numpy(row_M * ids_UL.shape[1] + column_M - 1),
            target_M=torch.from_numpy(ids_UL[row_M, column_M]),
            index_T=torch.from_numpy(start_U[row_T] + offset_T),
            length_R=length_U[row_R],
            length_U=length_U,
        )


def rows_of(steps: Sequence[Step]) -> list[Row]:
    """The rows of steps."""
    return [(step.prompt_ids, step.response_ids) for step in steps]


def hidden_states(backbone: nn.Module, rows: Rows) -> Tensor:
    """Hidden states (M, W) before each distinct response token, on the backbone's device."""
    device = next(backbone.parameters()).device
    hidden_ULW: Tensor = backbone(input_ids=rows.ids_UL.to(device), use_cache=False).last_hidden_state
    return hidden_ULW.flatten(0, 1)[rows.place_M.to(device)]


def logprobs(model: PreTrainedModel, rows: Rows) -> tuple[Tensor, Tensor]:
    """Log-probabilities and full-vocabulary entropies (nats) of the response tokens, both (T,), in memory."""
    return token_logprobs(model, hidden_states(trunk(model), rows), rows)


def token_logprobs(model: PreTrainedModel, hidden_MW: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
    """`logprobs` from the trunk's hidden states (M, W)."""
    logits_MV = model.get_output_embeddings()(hidden_MW)
    at_least = torch.promote_types(logits_MV.dtype, torch.float32)
    logprob_MV = torch.log_softmax(logits_MV, dim=-1, dtype=at_least)
    entropy_M = -(logprob_MV.exp() * logprob_MV).sum(-1)
    logprob_M = logprob_MV.gather(1, rows.target_M[:, None].to(logprob_MV.device)).squeeze(1)
    return spread(logprob_M, rows), spread(entropy_M, rows)


def spread(x_M: Tensor, rows: Rows) -> Tensor:
    """Numbers of distinct response tokens given to all of them (T,), in main memory."""
    return x_M.cpu()[rows.index_T]
