"""StepPO (arXiv 2604.18401 v4): PPO with step GAE and the geometric-mean step ratio.

Defaults are the HotpotQA script's: gamma 0.99 per step, lambda 1, clip 0.2, no KL. The other classes are the
corners of the paper's ablation: each switches one half off, or both, and holds the rest still, gamma's unit
and the missing dual clip included.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import Algorithm, Computes, Credit
from algorithms.factors import Aggregation, Baseline, CreditUnit, NormaliseUnit, RatioUnit
from algorithms.shared.plain import PLAIN, plain_credit
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class StepPO(Algorithm):
    """Step-level PPO: step credit, step ratio. The value is read at the last prompt token of each step."""

    name: ClassVar[str] = "steppo"
    computes: ClassVar[Computes] = PLAIN

    credit_unit: CreditUnit = CreditUnit.step
    baseline: Baseline = Baseline.step_critic
    normalise_unit: NormaliseUnit = NormaliseUnit.steps_of_batch
    ratio_unit: RatioUnit = RatioUnit.step
    aggregation: Aggregation = Aggregation.step_mean
    gamma: float = 0.99
    rollouts: int = 1

    def credit(self, batch: Batch) -> Credit:
        """delta_t = r_t + gamma V_(t+1) - V_t, A_t = delta_t + gamma lam A_(t+1), whitened over steps."""
        return plain_credit(batch, self)


@dataclass(frozen=True, kw_only=True)
class StepPOTokenRatio(StepPO):
    """Step credit under the token ratio: the ablation without the step ratio, and StepPO v1 but for v1's dual
    clip of 3."""

    name: ClassVar[str] = "steppo_token_ratio"

    ratio_unit: RatioUnit = RatioUnit.token


@dataclass(frozen=True, kw_only=True)
class StepPOTokenCredit(StepPO):
    """The step ratio with token credit: the ablation without step credit."""

    name: ClassVar[str] = "steppo_token_credit"

    credit_unit: CreditUnit = CreditUnit.token
    baseline: Baseline = Baseline.token_critic
    normalise_unit: NormaliseUnit = NormaliseUnit.tokens_of_batch


@dataclass(frozen=True, kw_only=True)
class StepPONeither(StepPOTokenCredit):
    """Token credit under the token ratio: the ablation without both."""

    name: ClassVar[str] = "steppo_neither"

    ratio_unit: RatioUnit = RatioUnit.token
