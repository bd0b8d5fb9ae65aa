"""What an algorithm is: a point in the factor space, a rollout plan, and a credit function.

`Algorithm.credit` is pure: flat arrays in, flat arrays out. It sees no model, no configuration object but
its own fields, and does no I/O; so it can be tested against published numbers and replayed on recorded
trajectories.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError
from harness.records.batch import Batch


class CreditUnit(Enum):
    """What one advantage value belongs to."""

    token = "token"
    step = "step"
    trajectory = "trajectory"


class Baseline(Enum):
    """What a return is compared with."""

    token_critic = "token_critic"
    step_critic = "step_critic"
    group_mean = "group_mean"
    state_group_mean = "state_group_mean"
    graph_value = "graph_value"


class RatioUnit(Enum):
    """Over what the importance ratio, and so the clip, is taken."""

    token = "token"
    step = "step"
    sequence = "sequence"


class Aggregation(Enum):
    """How token losses become one number."""

    token_mean = "token_mean"
    step_mean = "step_mean"
    seq_mean_token_mean = "seq_mean_token_mean"
    seq_mean_token_sum = "seq_mean_token_sum"


class NormaliseUnit(Enum):
    """Over what advantages are standardised."""

    none = "none"
    tokens_of_batch = "tokens_of_batch"
    steps_of_batch = "steps_of_batch"
    trajectories_of_group = "trajectories_of_group"
    steps_of_state_group = "steps_of_state_group"
    edges_of_graph = "edges_of_graph"


class KLEstimator(Enum):
    """Schulman's estimators of KL(policy || start policy), added to the loss."""

    none = "none"
    k1 = "k1"
    k2 = "k2"
    k3 = "k3"


class Equations(Enum):
    """Which text is implemented where the paper and the released code differ."""

    paper = "paper"
    released = "released"


CREDIT_UNIT_OF = {
    Baseline.token_critic: CreditUnit.token,
    Baseline.step_critic: CreditUnit.step,
    Baseline.group_mean: CreditUnit.trajectory,
    Baseline.state_group_mean: CreditUnit.step,
    Baseline.graph_value: CreditUnit.step,
}
NORMALISE_UNITS_OF = {
    CreditUnit.token: {NormaliseUnit.none, NormaliseUnit.tokens_of_batch},
    CreditUnit.step: {
        NormaliseUnit.none,
        NormaliseUnit.steps_of_batch,
        NormaliseUnit.steps_of_state_group,
        NormaliseUnit.edges_of_graph,
    },
    CreditUnit.trajectory: {NormaliseUnit.none, NormaliseUnit.trajectories_of_group},
}


@dataclass(frozen=True, kw_only=True)
class Factors:
    """A point in the factor space. Every factor can be switched alone where the combination is legal."""

    credit_unit: CreditUnit
    """What one advantage value belongs to: token, step or trajectory."""
    baseline: Baseline
    """What a return is compared with; the critics train a second model of the policy's size."""
    normalise_unit: NormaliseUnit
    """Over what advantages are standardised."""
    ratio_unit: RatioUnit
    """Importance ratio and clip: per token, or the geometric mean over a step or a whole trajectory."""
    aggregation: Aggregation
    """How token losses become one number: a mean over tokens, over steps of token means, over trajectories
    of token means, or over trajectories of token sums."""
    gamma: float = 1.0
    """Discount per credit unit (per token for credit_unit=token, else per step)."""
    lam: float = 1.0
    """GAE's lambda, per credit unit; read by algorithms with a critic."""
    clip_low: float = 0.2
    """The ratio is clipped below 1 - clip_low."""
    clip_high: float = 0.2
    """The ratio is clipped above 1 + clip_high."""
    dual_clip: float = 0.0
    """Bound on -ratio x advantage for negative advantages (dual-clip PPO's c); 0 turns it off."""
    kl_estimator: KLEstimator = KLEstimator.none
    """Estimator of the KL to the start policy in the loss; none trains without a reference pass."""
    kl_coef: float = 0.0
    """Its coefficient."""
    entropy_coef: float = 0.0
    """Coefficient of the full-vocabulary entropy bonus."""
    value_clip: float = 0.5
    """Largest change of a value prediction that the value loss rewards; read with a critic."""

    def __post_init__(self) -> None:
        unit = CREDIT_UNIT_OF[self.baseline]
        if self.credit_unit is not unit:
            raise UserError(
                f"algorithm.credit_unit={self.credit_unit.value} clashes with algorithm.baseline="
                f"{self.baseline.value}: choose credit_unit={unit.value}, or another baseline"
            )
        if self.normalise_unit not in NORMALISE_UNITS_OF[self.credit_unit]:
            legal = sorted(unit.value for unit in NORMALISE_UNITS_OF[self.credit_unit])
            raise UserError(
                f"algorithm.normalise_unit={self.normalise_unit.value} clashes with "
                f"algorithm.credit_unit={self.credit_unit.value}: choose one of {', '.join(legal)}"
            )
        for name, low, high in (("gamma", 0, 1), ("lam", 0, 1), ("clip_low", 0, 1)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UserError(f"algorithm.{name}={value} must be {low} to {high}")
        for name in ("clip_high", "dual_clip", "kl_coef", "entropy_coef"):
            value = getattr(self, name)
            if value < 0:
                raise UserError(f"algorithm.{name}={value} must not be negative")
        if 0 < self.dual_clip <= 1:
            raise UserError(f"algorithm.dual_clip={self.dual_clip} must be above 1, or 0 for none")
        if (self.kl_coef > 0) != (self.kl_estimator is not KLEstimator.none):
            raise UserError(
                f"algorithm.kl_coef={self.kl_coef} clashes with "
                f"algorithm.kl_estimator={self.kl_estimator.value}: set both, or 0 and none"
            )
        if self.value_clip <= 0:
            raise UserError(f"algorithm.value_clip={self.value_clip} must be above 0")

    @property
    def has_critic(self) -> bool:
        """Whether a critic is trained beside the policy."""
        return self.baseline in (Baseline.token_critic, Baseline.step_critic)

    @property
    def factors(self) -> dict[str, str | float]:
        """The factors as plain data, for records and reports."""
        plain = {f.name: getattr(self, f.name) for f in fields(Factors)}
        return {name: value.value if isinstance(value, Enum) else value for name, value in plain.items()}


@dataclass(frozen=True)
class RolloutPlan:
    """What to sample for one task."""

    roots: int
    """Independent rollouts from the start."""
    branches: int = 0
    """Continuations from points that `Algorithm.select_branches` picks on finished roots."""

    @property
    def trajectories(self) -> int:
        """All trajectories of one task."""
        return self.roots + self.branches


@dataclass(frozen=True)
class BranchPoint:
    """Where a continuation starts: before token `token` of step `step` of trajectory `trajectory`."""

    trajectory: int
    """Row of the batch."""
    step: int
    """Step within the trajectory, from 0."""
    token: int
    """Token within the step's response, from 0; it is sampled again, those before it are kept."""


@dataclass(frozen=True)
class Credit:
    """What a credit function gives back.

    T action tokens and N trajectories, in the order of the batch.
    """

    advantage_T: NDArray[np.float64]
    """Advantage of every action token."""
    return_T: NDArray[np.float64] | None = None
    """The critic's target at every token where `critic_T` holds; None without a critic."""
    critic_T: NDArray[np.bool_] | None = None
    """Where the critic is trained: the state before this token."""
    trained_N: NDArray[np.bool_] | None = None
    """Trajectories whose tokens enter the policy loss; None means all."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """Numbers worth logging, by name."""


@dataclass(frozen=True, kw_only=True)
class Algorithm(Factors, ABC):
    """A named point in the factor space. Field defaults are the published setting."""

    name: ClassVar[str]
    """The algorithm's name, as in `algorithm=NAME`."""
    baselines: ClassVar[tuple[Baseline, ...]]
    """The baselines that this file's credit function computes."""

    rollouts: int
    """Trajectories sampled for each task, branches included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.baseline not in self.baselines:
            able = ", ".join(baseline.value for baseline in self.baselines)
            raise UserError(
                f"algorithm.baseline={self.baseline.value} is not what {self.name} computes: "
                f"choose one of {able}, or another algorithm"
            )
        if self.rollouts < 1:
            raise UserError(f"algorithm.rollouts={self.rollouts} must be at least 1")

    def plan(self) -> RolloutPlan:
        """What to sample for one task; branching methods override."""
        return RolloutPlan(roots=self.rollouts)

    def select_branches(self, batch: Batch) -> list[BranchPoint]:
        """Where to branch, given finished roots and the current policy's log-probabilities of their tokens.

        Called for plans with branches only; must return `plan().branches` points for each group.
        """
        raise AssertionError(f"{self.name} plans no branches")

    @abstractmethod
    def credit(self, batch: Batch) -> Credit:
        """Advantages (and critic targets) of a batch of whole groups."""
