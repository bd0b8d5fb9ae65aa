"""RLOO: a trajectory's reward against the mean of the others of its group, A = n / (n - 1) (R - mean).

Source: RLOO as StepPO's scripts run it: 8 rollouts, k1 KL 0.001 in the reward, no whitening, PPO's clip (so
it is LOOP's objective), dual clip 3. `equations=released`: verl-agent's statistics over steps.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.factors import Aggregation, Baseline, KLEstimator, KLPlace, NormaliseUnit
from algorithms.grpo import GRPO


@dataclass(frozen=True, kw_only=True)
class RLOO(GRPO):
    """REINFORCE leave-one-out."""

    name: ClassVar[str] = "rloo"

    baseline: Baseline = Baseline.leave_one_out
    normalise_unit: NormaliseUnit = NormaliseUnit.none
    aggregation: Aggregation = Aggregation.step_mean
    kl_place: KLPlace = KLPlace.reward
    kl_estimator: KLEstimator = KLEstimator.k1
    kl_coef: float = 0.001
    entropy_coef: float = 0.0
