"""GRPO: every token of a trajectory gets (R - group mean) / group std.

Source: GRPO as verl-agent runs it against GiGPO and G2PO (8 rollouts, token mean, k3 KL 0.01, entropy
0.001, clip 0.2, dual clip 3); the statistics are the paper's, over trajectories. Dr. GRPO: arXiv 2503.20783.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.base import Computes, Credit
from algorithms.factors import (
    Aggregation,
    Baseline,
    CreditUnit,
    Equations,
    KLEstimator,
    NormaliseUnit,
    RatioUnit,
)
from algorithms.shared.episode import GroupMethod
from algorithms.shared.groups import reward_size, score_over_steps
from algorithms.shared.plain import PLAIN, compare, plain_credit
from harness.errors import UserError
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class GRPO(GroupMethod):
    """Group-relative policy optimisation."""

    name: ClassVar[str] = "grpo"
    computes: ClassVar[Computes] = PLAIN

    credit_unit: CreditUnit = CreditUnit.trajectory
    baseline: Baseline = Baseline.group_mean
    normalise_unit: NormaliseUnit = NormaliseUnit.trajectories_of_group
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.token_mean
    dual_clip: float = 3.0
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.01
    entropy_coef: float = 0.001
    rollouts: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        legal = (NormaliseUnit.none, NormaliseUnit.trajectories_of_group)
        if self.equations is Equations.released and (
            self.credit_unit is not CreditUnit.trajectory or self.normalise_unit not in legal
        ):
            raise UserError(
                f"algorithm.equations=released clashes with algorithm.credit_unit={self.credit_unit.value} "
                f"and algorithm.normalise_unit={self.normalise_unit.value}: choose equations=paper, or "
                "credit_unit=trajectory and normalise_unit=trajectories_of_group or none"
            )

    def credit(self, batch: Batch) -> Credit:
        """(R - mean) / (std + 1e-6) over the trajectories of a group; a group of one gives 0."""
        if self.equations is Equations.released:
            score_S = score_over_steps(batch, self.invalid_penalty)
            # As published: `leave_one_out` leaves out one row, and a row is a step.
            row_S, size_S = np.arange(len(score_S)), reward_size(batch)[batch.trajectory_S]
            return Credit.of_steps(batch, compare(score_S, batch.group_S, row_S, size_S, self))
        return plain_credit(batch, self)


@dataclass(frozen=True, kw_only=True)
class DrGRPO(GRPO):
    """GRPO done right: no division by the std, token sums over a constant instead of a length, no KL."""

    name: ClassVar[str] = "dr_grpo"

    normalise_unit: NormaliseUnit = NormaliseUnit.none
    aggregation: Aggregation = Aggregation.constant
    dual_clip: float = 0.0
    kl_estimator: KLEstimator = KLEstimator.none
    kl_coef: float = 0.0
    entropy_coef: float = 0.0
