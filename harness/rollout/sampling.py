"""Draws of tokens, each with a counter of its own.

Shape suffixes: S distributions, A draws, V vocabulary.
"""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from harness.rng import uniforms
from harness.rollout.engine import Request


def token_uniforms(requests: Sequence[Request], longest: int, seed: int, purpose: str) -> list[list[float]]:
    """For each request, the random numbers of its tokens, from the first one that is sampled to `longest`."""
    numbers = [range(len(request.kept_ids), longest) for request in requests]
    counters = [(*each.counter, n) for each, mine in zip(requests, numbers, strict=True) for n in mine]
    drawn = iter(uniforms(seed, purpose, np.array(counters, dtype=np.uint64).reshape(-1, 4)).tolist())
    return [list(islice(drawn, len(mine))) for mine in numbers]


def sample(probability_SV: Tensor, index_A: Tensor, uniform_A: Tensor) -> Tensor:
    """Tokens (A,) of the distributions `index_A`: the likeliest where `uniform_A` is nan, else drawn."""
    drawn_A = draw(probability_SV, index_A, uniform_A)
    greedy_A = uniform_A.isnan()
    return torch.where(greedy_A, probability_SV.argmax(-1)[index_A], drawn_A) if greedy_A.any() else drawn_A


def draw(probability_SV: Tensor, index_A: Tensor, uniform_A: Tensor) -> Tensor:
    """Tokens (A,) by inverse transform of a number each."""
    cumulative_AV = probability_SV.cumsum(-1, dtype=torch.float64)[index_A]
    threshold_A1 = uniform_A[:, None] * cumulative_AV[:, -1:]
    token_A1 = torch.searchsorted(cumulative_AV, threshold_A1, right=True)
    return token_A1.squeeze(1).clamp(max=probability_SV.shape[1] - 1)
