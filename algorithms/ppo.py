"""PPO with token-level GAE: the critic values the state before every token.

Source: the token arm of StepPO's scripts (HotpotQA setting), with the clip of its released `run_ppo.sh`.
gamma counts in tokens here and in steps in StepPO: the same number is not the same horizon. The presets
change nothing else.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import Algorithm, Computes, Credit
from algorithms.factors import Aggregation, Baseline, CreditUnit, DiscountUnit, NormaliseUnit, RatioUnit
from algorithms.shared.plain import PLAIN, plain_credit
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class PPO(Algorithm):
    """Token-level PPO, the published discount of 0.99 per token."""

    name: ClassVar[str] = "ppo"
    computes: ClassVar[Computes] = PLAIN

    credit_unit: CreditUnit = CreditUnit.token
    baseline: Baseline = Baseline.token_critic
    normalise_unit: NormaliseUnit = NormaliseUnit.tokens_of_batch
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.step_mean
    discount_unit: DiscountUnit = DiscountUnit.token
    gamma: float = 0.99
    dual_clip: float = 3.0
    rollouts: int = 1

    def credit(self, batch: Batch) -> Credit:
        """A_t = sum over l of (gamma lam)^l delta_(t+l), whitened over the batch's tokens."""
        return plain_credit(batch, self)


@dataclass(frozen=True, kw_only=True)
class PPOUndiscounted(PPO):
    """PPO with gamma 1."""

    name: ClassVar[str] = "ppo_undiscounted"

    gamma: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PPOMatched(PPO):
    """PPO with StepPO's horizon: gamma_token = 0.99^(1 / mean tokens per step)."""

    name: ClassVar[str] = "ppo_matched"

    discount_unit: DiscountUnit = DiscountUnit.mean_step
