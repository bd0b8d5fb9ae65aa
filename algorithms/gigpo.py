"""GiGPO (NeurIPS 2025): GRPO's episode term plus a step term among the steps that left the same state.

Defaults: verl-agent's ALFWorld setting (gamma 0.95, w 1, mean_std_norm, 8 rollouts, k3 KL 0.01).
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import (
    Aggregation,
    Algorithm,
    Baseline,
    Credit,
    CreditUnit,
    Equations,
    KLEstimator,
    NormaliseUnit,
    RatioUnit,
)
from algorithms.shared.groups import (
    episode_advantage,
    episode_advantage_over_steps,
    shared_share,
    standardise,
)
from algorithms.shared.returns import suffix_sums
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class GiGPO(Algorithm):
    """Group-in-group policy optimisation, exact anchors."""

    name: ClassVar[str] = "gigpo"
    baselines: ClassVar[tuple[Baseline, ...]] = (Baseline.state_group_mean,)

    credit_unit: CreditUnit = CreditUnit.step
    baseline: Baseline = Baseline.state_group_mean
    normalise_unit: NormaliseUnit = NormaliseUnit.steps_of_state_group
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.token_mean
    gamma: float = 0.95
    dual_clip: float = 3.0
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.01
    entropy_coef: float = 0.001
    rollouts: int = 8
    step_weight: float = 1.0
    """Weight w of the step term."""
    equations: Equations = Equations.paper
    """`paper`: episode statistics over trajectories. `released`: over steps, with the invalid penalty."""
    invalid_penalty: float = 0.0
    """Taken from an invalid step's scores under `equations=released` (the code: 0.1 at a reward of 10)."""

    def credit(self, batch: Batch) -> Credit:
        """A = A_episode + w A_step, both standardised (or only centred with normalise_unit=none)."""
        divide = self.normalise_unit is not NormaliseUnit.none
        return_S = suffix_sums(batch.reward_S, batch.steps_N, self.gamma)
        if self.equations is Equations.released:
            penalty = self.invalid_penalty
            episode_S = episode_advantage_over_steps(batch, penalty=penalty, divide=divide)
            return_S = return_S - penalty * ~batch.valid_S
        else:
            episode_S = episode_advantage(batch, divide=divide)
        step_S = standardise(return_S, batch.state_S, divide=divide)
        advantage_S = episode_S + self.step_weight * step_S
        return Credit(
            advantage_T=advantage_S[batch.step_T],
            diagnostics={
                "advantage_std": float(advantage_S.std()),
                "steps_in_shared_states": shared_share(batch.state_S),
            },
        )
