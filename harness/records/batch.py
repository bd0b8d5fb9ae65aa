"""The flat form of trajectories that credit functions read.

Shape suffixes: T action tokens, S steps, N trajectories. Steps of a trajectory, and tokens of a step, are
contiguous and in order; trajectories come in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.records.trajectory import Trajectory

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Batch:
    """Whole groups of trajectories as arrays. Optional columns are None when nobody computed them."""

    steps_N: Ints
    """Number of steps."""
    group_N: Ints
    """Group number: trajectories of one draw of a task share it."""
    success_N: Bools
    """Whether the task was solved."""
    root_N: Bools
    """False for continuations of another trajectory."""
    tokens_S: Ints
    """Number of action tokens."""
    reward_S: Floats
    """What the environment paid for the step."""
    state_S: Ints
    """Code of the state before the step; equal codes mean the same state of the same group."""
    valid_S: Bools
    """Whether the environment accepted the action."""
    logprob_T: Floats
    """Log-probability under the policy that sampled the token."""
    entropy_T: Floats
    """Full-vocabulary entropy in nats."""
    choice_T: Bools
    """False for the end token, which is never a branch point."""
    value_T: Floats | None = None
    """Critic's value of the state before the token; at a step's first token it is the step's value."""
    current_logprob_T: Floats | None = None
    """Log-probability under the policy as it is now."""

    @cached_property
    def trajectory_S(self) -> Ints:
        """Trajectory of each step."""
        return np.repeat(np.arange(len(self.steps_N)), self.steps_N)

    @cached_property
    def step_T(self) -> Ints:
        """Step of each token."""
        return np.repeat(np.arange(len(self.tokens_S)), self.tokens_S)

    @cached_property
    def first_token_S(self) -> Ints:
        """Index of each step's first token."""
        return np.cumsum(self.tokens_S) - self.tokens_S

    @cached_property
    def last_step_N(self) -> Ints:
        """Index of each trajectory's last step."""
        return np.cumsum(self.steps_N) - 1

    @cached_property
    def tokens_N(self) -> Ints:
        """Number of action tokens of each trajectory."""
        return np.bincount(self.trajectory_S, self.tokens_S, len(self.steps_N)).astype(np.int64)

    @cached_property
    def group_S(self) -> Ints:
        """Group of each step."""
        return self.group_N[self.trajectory_S]

    @cached_property
    def reward_N(self) -> Floats:
        """Sum of each trajectory's rewards."""
        return np.bincount(self.trajectory_S, self.reward_S, len(self.steps_N)).astype(np.float64)

    @staticmethod
    def of(trajectories: Sequence[Trajectory], end_id: int) -> "Batch":
        """The flat form of `trajectories`; `end_id` is the token that ends a response."""
        steps = [step for trajectory in trajectories for step in trajectory.steps]
        groups = [trajectory.group for trajectory in trajectories for _ in trajectory.steps]
        codes: dict[tuple[int, str], int] = {}
        state_S = [codes.setdefault((g, s.state_key), len(codes)) for g, s in zip(groups, steps, strict=True)]
        ids_T = [token for step in steps for token in step.response_ids]
        return Batch(
            steps_N=np.array([len(t.steps) for t in trajectories], dtype=np.int64),
            group_N=np.array([t.group for t in trajectories], dtype=np.int64),
            success_N=np.array([t.success for t in trajectories], dtype=bool),
            root_N=np.array([t.branch is None for t in trajectories], dtype=bool),
            tokens_S=np.array([len(s.response_ids) for s in steps], dtype=np.int64),
            reward_S=np.array([s.reward for s in steps], dtype=np.float64),
            state_S=np.array(state_S, dtype=np.int64),
            valid_S=np.array([s.valid for s in steps], dtype=bool),
            logprob_T=np.concatenate([s.logprob_L for s in steps]).astype(np.float64),
            entropy_T=np.concatenate([s.entropy_L for s in steps]).astype(np.float64),
            choice_T=np.array(ids_T, dtype=np.int64) != end_id,
        )
