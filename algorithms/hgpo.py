"""HGPO (ICLR 2026, verl-agent's `recipe/hgpo`): GiGPO's step term over contexts of several lengths.

For k = 1 … K + 1, steps whose last k states agree form a group and get A_k, their return's z-score with the
population std; the A_k that are not zero are averaged with weight (k + 1)^alpha. Steps with fewer than k
states behind them, and groups of one, have no A_k.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.base import Credit
from algorithms.factors import Range, Ranges
from algorithms.shared.anchors import AnchorMethod
from algorithms.shared.groups import reward_size, shared_share, standardise
from algorithms.shared.returns import suffix_sums
from harness.records.batch import Batch, Ints


@dataclass(frozen=True, kw_only=True)
class HGPO(AnchorMethod):
    """Hierarchy-of-groups policy optimisation."""

    name: ClassVar[str] = "hgpo"
    ranges: ClassVar[Ranges] = {
        **AnchorMethod.ranges,
        "history": Range(least=0, most=1000),
        # (history + 2)^alpha is a float64.
        "alpha": Range(least=0, most=100),
    }

    history: int = 2
    """K: past states that the longest context holds besides the present one."""
    alpha: float = 1.0
    """Exponent of the weight of longer contexts."""
    episode_term: bool = False
    """Whether GRPO's advantage joins the average as k = 0 (the code's `base_group`)."""

    def credit(self, batch: Batch) -> Credit:
        """A = sum of (k + 1)^alpha A_k / sum of (k + 1)^alpha, over the k with A_k != 0."""
        return_S = suffix_sums(batch.reward_S, batch.steps_N, self.gamma) - self.penalty(batch)
        size_S = reward_size(batch)[batch.trajectory_S]
        total_S, weight_S = np.zeros(len(return_S)), np.zeros(len(return_S))
        if self.episode_term:
            total_S = self.episode_advantage(batch)
            weight_S = (total_S != 0).astype(np.float64)
        contexts = histories(batch, self.anchors(batch), self.history + 1)
        for k, context_S in enumerate(contexts, start=1):
            # A step without enough states behind it is alone in its group.
            own_S = np.where(context_S < 0, context_S.max() + 1 + np.arange(len(context_S)), context_S)
            term_S = standardise(return_S, own_S, size_X=size_S, divide=self.divides, ddof=0)
            total_S = total_S + (k + 1) ** self.alpha * term_S
            weight_S = weight_S + (k + 1) ** self.alpha * (term_S != 0)
        advantage_S = total_S / np.where(weight_S > 0, weight_S, 1.0)
        return Credit.of_steps(batch, advantage_S, steps_in_shared_states=shared_share(contexts[0]))


def histories(batch: Batch, state_S: Ints, length: int) -> list[Ints]:
    """Codes of the last 1, 2, …, `length` states up to each step, the contexts; -1 where too few came."""
    state_S = np.unique(state_S, return_inverse=True)[1].astype(np.int64)
    place_S = np.arange(len(state_S)) - batch.first_step_N[batch.trajectory_S]
    codes = [state_S]
    for k in range(1, length):
        before_S = np.append(-1, codes[-1][:-1])
        pair_S = before_S * (state_S.max() + 1) + state_S
        code_S = np.unique(pair_S, return_inverse=True)[1].astype(np.int64)
        codes.append(np.where(place_S >= k, code_S, -1))
    return codes
