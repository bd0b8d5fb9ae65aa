"""HGPO (ICLR 2026, verl-agent's `recipe/hgpo`): GiGPO's step term over contexts of several lengths.

For k = 1 … K + 1, steps whose last k states agree form a group and get A_k, their return's z-score with the
population std; the A_k that are not zero are averaged with weight (k + 1)^alpha. Steps with fewer than k
states behind them, and groups of one, have no A_k.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.base import Credit
from algorithms.shared.anchors import AnchorMethod
from algorithms.shared.graph import histories
from algorithms.shared.groups import shared_share, standardise
from algorithms.shared.returns import suffix_sums
from harness.errors import UserError
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class HGPO(AnchorMethod):
    """Hierarchy-of-groups policy optimisation."""

    name: ClassVar[str] = "hgpo"

    history: int = 2
    """K: past states that the longest context holds beside the present one."""
    alpha: float = 1.0
    """Exponent of the weight of longer contexts."""
    episode_term: bool = False
    """Whether GRPO's advantage joins the average as k = 0 (the code's `base_group`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.history < 0:
            raise UserError(f"algorithm.history={self.history} must not be negative")

    def credit(self, batch: Batch) -> Credit:
        """A = sum of (k + 1)^alpha A_k / sum of (k + 1)^alpha, over the k with A_k != 0."""
        return_S = suffix_sums(batch.reward_S, batch.steps_N, self.gamma) - self.penalty(batch)
        total_S, weight_S = np.zeros(len(return_S)), np.zeros(len(return_S))
        if self.episode_term:
            total_S = self.episode_advantage(batch)
            weight_S = (total_S != 0).astype(np.float64)
        contexts = histories(batch, self.anchors(batch), self.history + 1)
        for k, context_S in enumerate(contexts, start=1):
            # A step without enough states behind it is alone in its group.
            own_S = np.where(context_S < 0, context_S.max() + 1 + np.arange(len(context_S)), context_S)
            term_S = standardise(return_S, own_S, divide=self.divides, ddof=0)
            total_S = total_S + (k + 1) ** self.alpha * term_S
            weight_S = weight_S + (k + 1) ** self.alpha * (term_S != 0)
        advantage_S = total_S / np.where(weight_S > 0, weight_S, 1.0)
        return Credit.of_steps(batch, advantage_S, steps_in_shared_states=shared_share(contexts[0]))
