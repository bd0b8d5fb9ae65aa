"""Control arms, which keep the instrument honest: their scores show what is not due to credit.

`constant` must not move, `random_credit` must not beat `grpo`, `shuffled_steps` must lose what the placement
of step credit gains, and `oracle` shows how much there is to gain.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtri

from algorithms.base import Algorithm, Computes, Credit
from algorithms.factors import (
    Aggregation,
    Baseline,
    CreditUnit,
    KLEstimator,
    KLPlace,
    NormaliseUnit,
    RatioUnit,
)
from algorithms.g2po import G2PO
from algorithms.shared.groups import whiten
from harness.records.batch import Batch

NO_CREDIT: Computes = {
    "credit_unit": (CreditUnit.step,),
    "baseline": (Baseline.none,),
    "normalise_unit": (NormaliseUnit.none,),
    "kl_place": (KLPlace.loss,),
}
"""Nothing to switch: the credit is not a function of the outcome, nor of a KL in the rewards."""


@dataclass(frozen=True, kw_only=True)
class Control(Algorithm):
    """GRPO's setting, for controls with a credit of their own."""

    control: ClassVar[bool] = True

    credit_unit: CreditUnit = CreditUnit.step
    baseline: Baseline = Baseline.none
    normalise_unit: NormaliseUnit = NormaliseUnit.none
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.token_mean
    dual_clip: float = 3.0
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.01
    entropy_coef: float = 0.001
    rollouts: int = 8


@dataclass(frozen=True, kw_only=True)
class Constant(Control):
    """Plays and never trains: what a learning rate of 0 does, weight decay included."""

    name: ClassVar[str] = "constant"
    computes: ClassVar[Computes] = {**NO_CREDIT, "kl_estimator": (KLEstimator.none,)}

    kl_estimator: KLEstimator = KLEstimator.none
    kl_coef: float = 0.0
    entropy_coef: float = 0.0

    def credit(self, batch: Batch) -> Credit:
        """No trajectory is trained, so no optimiser step is taken."""
        nothing = np.zeros(len(batch.steps_N), dtype=bool)
        return Credit(np.zeros(len(batch.logprob_T)), trained_N=nothing)


@dataclass(frozen=True, kw_only=True)
class RandomCredit(Control):
    """A standard normal advantage for each step, whatever happened."""

    name: ClassVar[str] = "random_credit"
    computes: ClassVar[Computes] = NO_CREDIT
    reads: ClassVar[tuple[str, ...]] = ("uniform_S",)

    def credit(self, batch: Batch) -> Credit:
        """A ~ N(0, 1), from the step's own random number."""
        return Credit.of_steps(batch, ndtri(np.clip(batch.uniform_S, 1e-12, 1 - 1e-12)))


@dataclass(frozen=True, kw_only=True)
class ShuffledSteps(G2PO):
    """G2PO with its step credits permuted inside each trajectory: the right amounts on the wrong steps."""

    name: ClassVar[str] = "shuffled_steps"
    control: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("state_S", "uniform_S")

    def credit(self, batch: Batch) -> Credit:
        """G2PO's advantages in the order of the steps' own random numbers."""
        credit = super().credit(batch)
        advantage_S = credit.advantage_T[batch.first_token_S]
        shuffled_S = np.empty_like(advantage_S)
        shuffled_S[np.lexsort((batch.uniform_S, batch.trajectory_S))] = advantage_S
        return Credit(shuffled_S[batch.step_T], diagnostics=credit.diagnostics)


@dataclass(frozen=True, kw_only=True)
class Oracle(Control):
    """True step advantages of the policy that played, exact, from the environment."""

    name: ClassVar[str] = "oracle"
    computes: ClassVar[Computes] = {
        "credit_unit": (CreditUnit.step,),
        "baseline": (Baseline.true_value,),
        "normalise_unit": (NormaliseUnit.none, NormaliseUnit.steps_of_batch),
        "kl_place": (KLPlace.loss,),
    }
    reads: ClassVar[tuple[str, ...]] = ("true_advantage_S",)

    baseline: Baseline = Baseline.true_value
    normalise_unit: NormaliseUnit = NormaliseUnit.steps_of_batch

    def credit(self, batch: Batch) -> Credit:
        """A = Q - V, success probabilities after the step's action and before it."""
        assert batch.true_advantage_S is not None, "needs exact values (Batch.true_advantage_S)"
        advantage_S = batch.true_advantage_S
        if self.normalise_unit is NormaliseUnit.steps_of_batch:
            # Differences of probabilities.
            advantage_S = whiten(advantage_S, size=1.0)
        return Credit.of_steps(batch, advantage_S)
