"""StepPO (arXiv 2604.18401 v4): step GAE and the geometric-mean step ratio; nothing else differs from PPO.

Defaults are the HotpotQA script's: gamma 0.99 per step, lambda 1, clip 0.2, no KL.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import Aggregation, Algorithm, Baseline, Credit, CreditUnit, NormaliseUnit, RatioUnit
from algorithms.shared.critic import critic_credit
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class StepPO(Algorithm):
    """Step-level PPO. The value is read at the last prompt token of each step."""

    name: ClassVar[str] = "steppo"
    baselines: ClassVar[tuple[Baseline, ...]] = (Baseline.step_critic, Baseline.token_critic)

    credit_unit: CreditUnit = CreditUnit.step
    baseline: Baseline = Baseline.step_critic
    normalise_unit: NormaliseUnit = NormaliseUnit.steps_of_batch
    ratio_unit: RatioUnit = RatioUnit.step
    aggregation: Aggregation = Aggregation.step_mean
    gamma: float = 0.99
    lam: float = 1.0
    rollouts: int = 1

    def credit(self, batch: Batch) -> Credit:
        """GAE on the declared unit (notes, section 1.4)."""
        return critic_credit(batch, self)
