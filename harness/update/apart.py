"""What an update did to thoughts and to actions, apart.

In a mean over all tokens the many thoughts hide the few actions.
Shape suffixes: T action tokens, thoughts among them.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from algorithms.factors import KLEstimator
from harness.update.loss import kl

KINDS = ("thought", "action")
MEANS = ("kl", "clip_fraction", "entropy")


def is_thought(step_T: NDArray[np.int64], thoughts: int) -> NDArray[np.bool_]:
    """Whether each token (T,) is one of the first `thoughts` of its step; `step_T` numbers the steps."""
    place_T = np.arange(len(step_T))
    first_T = np.diff(step_T, prepend=-1) != 0
    begin_T = np.maximum.accumulate(np.where(first_T, place_T, 0))
    return np.asarray(place_T - begin_T < thoughts)


def sums_apart(
    thought_T: Tensor,
    logprob_T: Tensor,
    old_logprob_T: Tensor,
    outside_T: Tensor,
    entropy_T: Tensor,
    advantage_T: Tensor,
) -> dict[str, float]:
    """Sums over the thoughts and over the other tokens, all inputs (T,), and how many there are of each.

    kl: Schulman's k3 of KL(sampling policy || present policy) in nats, from samples of the former: 0 at an
    iteration's first mini-batch, then what the mini-batches before it have moved. clip_fraction: tokens whose
    ratio is outside the clip. square: squared advantages.
    """
    each_T = {
        "kl": kl(old_logprob_T, logprob_T, KLEstimator.k3),
        "clip_fraction": outside_T,
        "entropy": entropy_T,
        "square": advantage_T**2,
        "tokens": torch.ones_like(thought_T),
    }
    masks = dict(zip(KINDS, (thought_T, ~thought_T), strict=True))
    return {
        f"{kind}_{name}": float(values_T[mask_T].sum())
        for kind, mask_T in masks.items()
        for name, values_T in each_T.items()
    }


def means_apart(sums: Mapping[str, float]) -> dict[str, float]:
    """An optimiser step's metrics, the sums of `sums_apart` among them made means, and advantages' RMS.

    A kind that no token is of has none.
    """
    metrics = {name: value for name, value in sums.items() if name.partition("_")[0] not in KINDS}
    for kind in KINDS:
        if count := sums.get(f"{kind}_tokens", 0.0):
            metrics |= {f"{kind}_{name}": sums[f"{kind}_{name}"] / count for name in MEANS}
            metrics[f"{kind}_advantage_rms"] = (sums[f"{kind}_square"] / count) ** 0.5
    return metrics
