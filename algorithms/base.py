"""The algorithm protocol: a point in the factor space, a rollout plan, and a credit function.

`Algorithm.credit` is pure: flat arrays in, flat arrays out. It sees no model, no configuration object but
its own fields, and does no I/O; so it can be tested against published numbers and replayed on recorded
trajectories.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.factors import COUNT, Baseline, Clash, Factors, KLPlace, Ranges
from harness.errors import UserError
from harness.records.batch import Batch

Computes = Mapping[str, tuple[Enum, ...]]


@dataclass(frozen=True)
class RolloutPlan:
    """What to sample for one task."""

    roots: int
    """Independent rollouts from the start."""
    branches: int = 0
    """Continuations from points that `Algorithm.select_branches` picks on finished trajectories."""
    each_minibatch: bool = False
    """Branch one mini-batch at a time, each with the policy of that moment; else once per iteration."""
    reads: tuple[str, ...] = ()
    """Optional batch columns that `select_branches` reads: current_logprob_T, previous_logprob_T."""

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

    @staticmethod
    def of_steps(batch: Batch, advantage_S: NDArray[np.float64], **diagnostics: float) -> "Credit":
        """Every token gets its step's advantage."""
        diagnostics = {"advantage_std": float(advantage_S.std()), **diagnostics}
        return Credit(advantage_S[batch.step_T], diagnostics=diagnostics)


@dataclass(frozen=True, kw_only=True)
class Algorithm(Factors, ABC):
    """A named point in the factor space. Field defaults are the published setting."""

    name: ClassVar[str]
    """The algorithm's name, as in `algorithm=NAME`."""
    computes: ClassVar[Computes]
    """For each factor, the values that `credit` implements. Factors that are not listed may take any legal
    value."""
    ranges: ClassVar[Ranges] = {**Factors.ranges, "rollouts": COUNT}
    reads: ClassVar[tuple[str, ...]] = ()
    """Columns of the batch that `credit` reads besides rewards, counts, groups and success."""
    control: ClassVar[bool] = False
    """Whether this is a control arm, which the report keeps out of comparisons of credit units."""
    fewest_rollouts: ClassVar[int] = 1
    """Trajectories of one task below which the credit says nothing."""

    rollouts: int
    """Trajectories sampled for each task, branches included."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for factor, able in self.computes.items():
            value = getattr(self, factor)
            if value not in able:
                choices = " or ".join(str(each.value) for each in able)
                raise Clash(
                    f"algorithm.{factor}={value.value} is not what {self.name} computes: "
                    f"choose {factor}={choices}, or another algorithm"
                )
        fewest = self.fewest_rollouts
        if self.baseline in (Baseline.group_mean, Baseline.leave_one_out):
            fewest = max(fewest, 2)
        if self.rollouts < fewest:
            raise UserError(
                f"algorithm.rollouts={self.rollouts}: {self.name} needs at least {fewest} rollouts per task"
            )

    @property
    def columns(self) -> frozenset[str]:
        """The columns that `credit` and the KL in its reward read besides those that every batch has."""
        columns = set(self.reads)
        if self.has_critic:
            columns.add("value_T")
        if self.kl_place is KLPlace.reward:
            columns |= {"logprob_T", "reference_logprob_T"}
        return frozenset(columns)

    def plan(self) -> RolloutPlan:
        """What to sample for one task; branching methods override."""
        return RolloutPlan(roots=self.rollouts)

    def select_branches(self, batch: Batch, turn: int, random: np.random.Generator) -> list[BranchPoint]:
        """Choose branch points for turn `turn` (counted from 0) among the trajectories that exist so far.

        Called turn after turn, each time with the continuations of the turns before in the batch, until
        every group has its `plan().branches`. `random` is the turn's own generator. Plans with branches only.
        """
        raise AssertionError(f"{self.name} plans no branches")

    @abstractmethod
    def credit(self, batch: Batch) -> Credit:
        """Advantages (and critic targets) of a batch of whole groups."""
