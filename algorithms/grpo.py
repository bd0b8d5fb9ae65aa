"""GRPO: every token of a trajectory gets (R - group mean) / group std.

Source: GRPO as verl-agent runs it against GiGPO and G2PO (8 rollouts, token mean, k3 KL 0.01, clip 0.2,
dual clip 3); the statistics are the paper's, over trajectories.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import (
    Aggregation,
    Algorithm,
    Baseline,
    Credit,
    CreditUnit,
    KLEstimator,
    NormaliseUnit,
    RatioUnit,
)
from algorithms.shared.groups import episode_advantage
from harness.errors import UserError
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class GRPO(Algorithm):
    """Group-relative policy optimisation. `normalise_unit=none` drops the std (Dr. GRPO's advantage)."""

    name: ClassVar[str] = "grpo"
    baselines: ClassVar[tuple[Baseline, ...]] = (Baseline.group_mean,)

    credit_unit: CreditUnit = CreditUnit.trajectory
    baseline: Baseline = Baseline.group_mean
    normalise_unit: NormaliseUnit = NormaliseUnit.trajectories_of_group
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.token_mean
    dual_clip: float = 3.0
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.01
    rollouts: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollouts < 2:
            raise UserError(f"algorithm.rollouts={self.rollouts}: {self.name} compares at least 2 rollouts")

    def credit(self, batch: Batch) -> Credit:
        """(R - mean) / (std + 1e-6) over the trajectories of a group; a group of one gives 0."""
        divide = self.normalise_unit is not NormaliseUnit.none
        advantage_S = episode_advantage(batch, divide=divide)
        return Credit(
            advantage_T=advantage_S[batch.step_T],
            diagnostics={"advantage_std": float(advantage_S.std())},
        )
