"""GiGPO (NeurIPS 2025): GRPO's episode term plus a step term among the steps that left the same state.

Defaults: verl-agent's ALFWorld setting (`algorithms/shared/anchors.py`) with w 1.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import Credit
from algorithms.factors import NOT_NEGATIVE, Ranges
from algorithms.shared.anchors import AnchorMethod
from algorithms.shared.groups import reward_size, shared_share, standardise
from algorithms.shared.returns import suffix_sums
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class GiGPO(AnchorMethod):
    """Group-in-group policy optimisation."""

    name: ClassVar[str] = "gigpo"
    ranges: ClassVar[Ranges] = {**AnchorMethod.ranges, "step_weight": NOT_NEGATIVE}

    step_weight: float = 1.0
    """Weight w of the step term."""

    def credit(self, batch: Batch) -> Credit:
        """A = A_episode + w A_step, both standardised (or only centred with normalise_unit=none)."""
        anchor_S = self.anchors(batch)
        return_S = suffix_sums(batch.reward_S, batch.steps_N, self.gamma) - self.penalty(batch)
        size_S = reward_size(batch)[batch.trajectory_S]
        step_S = standardise(return_S, anchor_S, size_X=size_S, divide=self.divides)
        advantage_S = self.episode_advantage(batch) + self.step_weight * step_S
        return Credit.of_steps(batch, advantage_S, steps_in_shared_states=shared_share(anchor_S))
