"""PPO with token-level GAE: the critic values the state before every token.

Source: the token arm of StepPO's scripts (HotpotQA setting), with the clip of its released `run_ppo.sh`.
gamma counts in tokens here and in steps in StepPO: the same number is not the same horizon.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import Aggregation, Algorithm, Baseline, Credit, CreditUnit, NormaliseUnit, RatioUnit
from algorithms.shared.critic import critic_credit
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class PPO(Algorithm):
    """Token-level PPO. `baseline=step_critic credit_unit=step normalise_unit=steps_of_batch` gives step
    credit under the token ratio (StepPO v1)."""

    name: ClassVar[str] = "ppo"
    baselines: ClassVar[tuple[Baseline, ...]] = (Baseline.token_critic, Baseline.step_critic)

    credit_unit: CreditUnit = CreditUnit.token
    baseline: Baseline = Baseline.token_critic
    normalise_unit: NormaliseUnit = NormaliseUnit.tokens_of_batch
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.step_mean
    gamma: float = 0.99
    lam: float = 1.0
    dual_clip: float = 3.0
    rollouts: int = 1

    def credit(self, batch: Batch) -> Credit:
        """GAE on the declared unit."""
        return critic_credit(batch, self)
