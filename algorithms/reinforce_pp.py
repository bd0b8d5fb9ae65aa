"""REINFORCE++ (arXiv 2501.03262): token returns, whitened over the batch's tokens; no critic, no group.

Clip 0.2, dual clip 3 and k1 KL 0.001 in the reward are StepPO's and CAPO's scripts'. Their returns stop at
the end of each step, so that every step but the last gets 0 before whitening: early steps of won episodes are
punished. Here returns are linked across steps and not discounted; `reinforce_pp_unlinked` is the published
variant, with its gamma of 0.99 per token and its 8 rollouts.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import Algorithm, Computes, Credit
from algorithms.factors import (
    Aggregation,
    Baseline,
    CreditUnit,
    DiscountUnit,
    KLEstimator,
    KLPlace,
    NormaliseUnit,
    RatioUnit,
)
from algorithms.shared.groups import reward_size
from algorithms.shared.plain import PLAIN, normalise, plain_credit
from algorithms.shared.returns import discount, suffix_sums
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class ReinforcePP(Algorithm):
    """REINFORCE++, one rollout per task."""

    name: ClassVar[str] = "reinforce_pp"
    computes: ClassVar[Computes] = PLAIN

    credit_unit: CreditUnit = CreditUnit.token
    baseline: Baseline = Baseline.none
    normalise_unit: NormaliseUnit = NormaliseUnit.tokens_of_batch
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.step_mean
    discount_unit: DiscountUnit = DiscountUnit.token
    dual_clip: float = 3.0
    kl_place: KLPlace = KLPlace.reward
    kl_estimator: KLEstimator = KLEstimator.k1
    kl_coef: float = 0.001
    rollouts: int = 1

    def credit(self, batch: Batch) -> Credit:
        """A_t = sum over k >= t of gamma^(k-t) r_k to the trajectory's end, whitened."""
        return plain_credit(batch, self)


@dataclass(frozen=True, kw_only=True)
class ReinforcePPUnlinked(ReinforcePP):
    """REINFORCE++ as published for step rows: the return of a token stops at the end of its step."""

    name: ClassVar[str] = "reinforce_pp_unlinked"
    computes: ClassVar[Computes] = {"credit_unit": (CreditUnit.token,), "baseline": (Baseline.none,)}

    gamma: float = 0.99
    rollouts: int = 8

    def credit(self, batch: Batch) -> Credit:
        """A_t = sum over k >= t of gamma^(k-t) r_k to the step's end, whitened."""
        gamma = discount(batch, self.gamma, self.credit_unit, self.discount_unit)
        return_T = suffix_sums(batch.reward_T, batch.tokens_S, gamma)
        advantage_T = normalise(batch, return_T, self, float(reward_size(batch).max()))
        return Credit(advantage_T, diagnostics={"advantage_std": float(advantage_T.std())})


@dataclass(frozen=True, kw_only=True)
class ReinforcePPBaseline(ReinforcePP):
    """REINFORCE++ with the group mean as its baseline: R - mean, whitened over the batch's tokens."""

    name: ClassVar[str] = "reinforce_pp_baseline"

    credit_unit: CreditUnit = CreditUnit.trajectory
    baseline: Baseline = Baseline.group_mean
    rollouts: int = 8
