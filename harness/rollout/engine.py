"""Batched generation on a transformers decoder.

Equal contexts are prefilled once and share the key-value cache; finished rows leave the batch at once; every
token is drawn with a counter of its own, so that a row's draws do not depend on who else is in the batch.

Shape suffixes: R rows, U distinct contexts, A rows still generating, V vocabulary.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from harness.rng import uniforms


@dataclass(frozen=True)
class Request:
    """Continue `prompt_ids` + `kept_ids` until the end token."""

    prompt_ids: tuple[int, ...]
    kept_ids: tuple[int, ...]
    """The start of the response that is given and not sampled again."""
    counter: tuple[int, int, int]
    """(draw, rollout, step): with the token's number, the counter of its random number."""


@dataclass
class Generation:
    """What was sampled after a request's kept ids."""

    request: Request
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    """Log-probabilities in nats under the unmodified policy."""
    entropies: list[float] = field(default_factory=list)
    """Full-vocabulary entropies in nats."""

    @property
    def length(self) -> int:
        """Ids of the response so far, kept and sampled."""
        return len(self.request.kept_ids) + len(self.ids)


@dataclass
class Usage:
    """What a call cost, in row lengths."""

    prefill_R: NDArray[np.int64]
    """Context length of each row."""
    prefill_U: NDArray[np.int64]
    """Context length of each distinct row."""
    decode: list[int] = field(default_factory=list)
    """Positions attended to, for every token fed back to the model."""
    sampled: int = 0
    """Tokens sampled."""
    prefill_seconds: float = 0.0
    """Seconds before the first token was sampled."""


class TorchEngine:
    """Samples from a model that lives in this process; weights are shared, so there is nothing to sync."""

    def __init__(self, model: PreTrainedModel, pad_id: int, end_id: int, longest_response: int) -> None:
        self.model = model
        self.pad_id, self.end_id = pad_id, end_id
        self.longest_response = longest_response

    @torch.inference_mode()
    def generate(
        self, requests: Sequence[Request], seed: int, purpose: str, greedy: bool = False
    ) -> tuple[list[Generation], Usage]:
        """Sample at temperature 1, or take the likeliest tokens, at most `longest_response` a response."""
        start = time.monotonic()
        contexts = [request.prompt_ids + request.kept_ids for request in requests]
        distinct = {context: i for i, context in enumerate(dict.fromkeys(contexts))}
        inverse_R = torch.tensor([distinct[context] for context in contexts])
        length_U = np.array([len(context) for context in distinct])
        logits_UV, cache, mask_UL = self._prefill(list(distinct), int(length_U.max()))
        usage = Usage(length_U[inverse_R.numpy()], length_U)
        generations = [Generation(request) for request in requests]
        live = generations
        logits_AV, mask_AL = logits_UV[inverse_R], mask_UL[inverse_R]
        cache.batch_select_indices(inverse_R)
        usage.prefill_seconds = time.monotonic() - start
        while True:
            token_A = sample(logits_AV, None if greedy else self._uniforms(live, seed, purpose))
            append(live, token_A, logits_AV)
            usage.sampled += len(live)
            going_A = torch.tensor([self._goes_on(generation) for generation in live])
            if not going_A.any():
                return generations, usage
            if not going_A.all():
                live = [generation for generation, going in zip(live, going_A.tolist(), strict=True) if going]
                token_A, mask_AL = token_A[going_A], mask_AL[going_A]
                cache.batch_select_indices(going_A.nonzero().squeeze(1))
            mask_AL = torch.cat([mask_AL, torch.ones(len(live), 1, dtype=mask_AL.dtype)], dim=1)
            usage.decode += mask_AL.sum(1).tolist()
            logits_AV = self._forward(token_A[:, None], mask_AL, cache)

    def _goes_on(self, generation: Generation) -> bool:
        return generation.ids[-1] != self.end_id and generation.length < self.longest_response

    def _uniforms(self, live: Sequence[Generation], seed: int, purpose: str) -> Tensor:
        counter_A4 = np.array([(*row.request.counter, row.length) for row in live], dtype=np.uint64)
        return torch.from_numpy(uniforms(seed, purpose, counter_A4))

    def _prefill(self, contexts: list[tuple[int, ...]], longest: int) -> tuple[Tensor, DynamicCache, Tensor]:
        """Pad on the left so that every row's next token is in the last column."""
        ids_UL = torch.full((len(contexts), longest), self.pad_id)
        mask_UL = torch.zeros_like(ids_UL)
        for i, context in enumerate(contexts):
            ids_UL[i, longest - len(context) :] = torch.tensor(context)
            mask_UL[i, longest - len(context) :] = 1
        cache = DynamicCache(config=self.model.config)
        return self._forward(ids_UL, mask_UL, cache), cache, mask_UL

    def _forward(self, ids_AL: Tensor, mask_AL: Tensor, cache: DynamicCache) -> Tensor:
        padded = not bool(mask_AL.all())
        positions_AL = (mask_AL.cumsum(1) - 1).clamp(min=0)[:, -ids_AL.shape[1] :]
        output = self.model(
            input_ids=ids_AL,
            attention_mask=mask_AL if padded else None,
            position_ids=positions_AL,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_AV: Tensor = output.logits[:, -1].float()
        return logits_AV


def sample(logits_AV: Tensor, uniform_A: Tensor | None) -> Tensor:
    """Tokens (A,) by inverse transform of one uniform number each, or the likeliest without them."""
    if uniform_A is None:
        return logits_AV.argmax(-1)
    cumulative_AV = logits_AV.double().softmax(-1).cumsum(-1)
    threshold_A1 = (uniform_A * cumulative_AV[:, -1])[:, None]
    return (cumulative_AV <= threshold_A1).sum(-1).clamp(max=logits_AV.shape[1] - 1)


def append(live: Sequence[Generation], token_A: Tensor, logits_AV: Tensor) -> None:
    """Record each row's token, its log-probability and the entropy of its distribution."""
    logprob_AV = torch.log_softmax(logits_AV, dim=-1)
    entropy_A = -(logprob_AV.exp() * logprob_AV).sum(-1)
    logprob_A = logprob_AV.gather(1, token_A[:, None]).squeeze(1)
    rows = zip(live, token_A.tolist(), logprob_A.tolist(), entropy_A.tolist(), strict=True)
    for generation, token, logprob, entropy in rows:
        generation.ids.append(token)
        generation.logprobs.append(logprob)
        generation.entropies.append(entropy)
