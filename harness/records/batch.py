"""The flat form of trajectories that credit functions read.

Shape suffixes: T action tokens, S steps, N trajectories. Steps of a trajectory, and tokens of a step, are
contiguous and in order; trajectories come in any order. Log-probabilities and entropies are in nats.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError, suggest
from harness.records.columns import METADATA, Column, Moment, column
from harness.records.trajectory import Branch, Trajectory
from harness.rng import uniforms

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
NO_PARENT = -1


@dataclass(frozen=True)
class Batch:
    """Whole groups of trajectories as arrays. Optional columns are None when nobody computed them.

    What an algorithm has to name before it may read it carries a `Column`: see `COLUMNS` below.
    """

    steps_N: Ints
    """Number of steps."""
    group_N: Ints
    """Group number: trajectories of one draw of a task share it."""
    success_N: Bools
    """Whether the task was solved."""
    parent_N: Ints
    """For a continuation, the row of the trajectory it left; -1 for a root."""
    branch_step_N: Ints
    """The step at which it left its parent; 0 for a root."""
    branch_token_N: Ints
    """The token of that step at which it left its parent; 0 for a root."""
    tokens_S: Ints
    """Number of action tokens, at least 1."""
    reward_S: Floats
    """What the step paid, KL penalties included."""
    state_S: Ints = field(metadata=column("state", text=True))
    """Code of the state before the step; equal codes mean the same state of the same group."""
    valid_S: Bools
    """Whether the environment accepted the action."""
    uniform_S: Floats = field(metadata=column(None))
    """A uniform random number of the step's own, for credit that is random on purpose."""
    logprob_T: Floats = field(metadata=column("logprobs"))
    """Log-probability of the token under the policy that sampled it."""
    entropy_T: Floats = field(metadata=column("entropies"))
    """Full-vocabulary entropy of the distribution it was sampled from."""
    choice_T: Bools
    """False for the end token, which is never a branch point."""
    value_T: Floats | None = field(default=None, metadata=column("values"))
    """The critic's value of the state before the token; a step's value is that at its first token."""
    current_logprob_T: Floats | None = field(
        default=None, metadata=column("current_logprobs", moment=Moment.present)
    )
    """Log-probability under the policy as it is at the update."""
    previous_logprob_T: Floats | None = field(default=None, metadata=column(None, moment=Moment.previous))
    """Log-probability under the policy one iteration before the one that sampled."""
    reference_logprob_T: Floats | None = field(default=None, metadata=column("reference_logprobs"))
    """Log-probability under the start policy."""
    penalty_T: Floats | None = None
    """What each token lost of its step's reward to the KL penalty; `reward_S` has it taken off."""
    true_advantage_S: Floats | None = field(
        default=None, metadata=column("true_advantage", moment=Moment.present, exact=True)
    )
    """Exact advantage of the step's action under the policy that sampled it."""
    observation_S: tuple[str, ...] | None = field(default=None, metadata=column("observation", text=True))
    """What the policy was shown before the step."""
    vocabulary: int = 0
    """Number of tokens that the policy chooses from; 0 when unknown."""

    @cached_property
    def root_N(self) -> Bools:
        """False for continuations of another trajectory."""
        return np.asarray(self.parent_N == NO_PARENT)

    @cached_property
    def trajectory_S(self) -> Ints:
        """Trajectory of each step."""
        return np.repeat(np.arange(len(self.steps_N)), self.steps_N)

    @cached_property
    def step_T(self) -> Ints:
        """Step of each token."""
        return np.repeat(np.arange(len(self.tokens_S)), self.tokens_S)

    @cached_property
    def trajectory_T(self) -> Ints:
        """Trajectory of each token."""
        return np.repeat(np.arange(len(self.steps_N)), self.tokens_N)

    @cached_property
    def first_token_S(self) -> Ints:
        """Index of each step's first token."""
        return np.cumsum(self.tokens_S) - self.tokens_S

    @cached_property
    def last_token_S(self) -> Ints:
        """Index of each step's last token."""
        return np.cumsum(self.tokens_S) - 1

    @cached_property
    def first_step_N(self) -> Ints:
        """Index of each trajectory's first step."""
        return np.cumsum(self.steps_N) - self.steps_N

    @cached_property
    def last_step_N(self) -> Ints:
        """Index of each trajectory's last step."""
        return np.cumsum(self.steps_N) - 1

    @cached_property
    def tokens_N(self) -> Ints:
        """Number of action tokens of each trajectory."""
        return np.add.reduceat(self.tokens_S, self.first_step_N)

    @cached_property
    def first_token_N(self) -> Ints:
        """Index of each trajectory's first token."""
        return np.cumsum(self.tokens_N) - self.tokens_N

    @cached_property
    def group_S(self) -> Ints:
        """Group of each step."""
        return np.repeat(self.group_N, self.steps_N)

    @cached_property
    def reward_N(self) -> Floats:
        """Sum of each trajectory's rewards."""
        return np.bincount(self.trajectory_S, self.reward_S, len(self.steps_N)).astype(np.float64)

    @cached_property
    def reward_T(self) -> Floats:
        """The rewards on tokens: a step's on its last token, penalties where they fell."""
        if self.penalty_T is None:
            reward_T = np.zeros(len(self.logprob_T))
            reward_T[self.last_token_S] = self.reward_S
            return reward_T
        reward_T = -self.penalty_T
        reward_T[self.last_token_S] += self.reward_S + np.add.reduceat(self.penalty_T, self.first_token_S)
        return reward_T

    @staticmethod
    def of(trajectories: Sequence[Trajectory], *, end_id: int, vocabulary: int, seed: int) -> "Batch":
        """The flat form of `trajectories`; `end_id` ends a response, `seed` keys the steps' own numbers."""
        steps = [step for trajectory in trajectories for step in trajectory.steps]
        places = [(t.group, t.rollout, i) for t in trajectories for i in range(len(t.steps))]
        codes: dict[tuple[int, str], int] = {}
        state_S = [
            codes.setdefault((place[0], step.state_key), len(codes))
            for place, step in zip(places, steps, strict=True)
        ]
        ids_T = [token for step in steps for token in step.response_ids]
        branches = [t.branch or Branch(NO_PARENT, 0, 0) for t in trajectories]
        return Batch(
            steps_N=np.array([len(t.steps) for t in trajectories], dtype=np.int64),
            group_N=np.array([t.group for t in trajectories], dtype=np.int64),
            success_N=np.array([t.success for t in trajectories], dtype=bool),
            parent_N=np.array([branch.parent for branch in branches], dtype=np.int64),
            branch_step_N=np.array([branch.step for branch in branches], dtype=np.int64),
            branch_token_N=np.array([branch.token for branch in branches], dtype=np.int64),
            tokens_S=np.array([len(s.response_ids) for s in steps], dtype=np.int64),
            reward_S=np.array([s.reward for s in steps], dtype=np.float64),
            state_S=np.array(state_S, dtype=np.int64),
            valid_S=np.array([s.valid for s in steps], dtype=bool),
            uniform_S=uniforms(seed, "credit", np.array([(*place, 0) for place in places], dtype=np.uint64)),
            logprob_T=np.concatenate([s.logprob_L for s in steps]).astype(np.float64),
            entropy_T=np.concatenate([s.entropy_L for s in steps]).astype(np.float64),
            choice_T=np.array(ids_T, dtype=np.int64) != end_id,
            observation_S=tuple(step.observation for step in steps),
            vocabulary=vocabulary,
        )


COLUMNS: dict[str, Column] = {f.name: f.metadata[METADATA] for f in fields(Batch) if METADATA in f.metadata}
"""What credit may read beyond rewards, counts, groups and success, if it names it."""
OPTIONAL_COLUMNS = tuple(f.name for f in fields(Batch) if f.name in COLUMNS and f.default is None)
"""Those that may be None."""


def described(names: Iterable[str]) -> list[Column]:
    """What the table says of some columns. Raises `UserError` for a name that it does not have."""
    return [COLUMNS[name] if name in COLUMNS else unknown(name) for name in names]


def unknown(name: str) -> NoReturn:
    """Raise `UserError` for a column that there is not."""
    raise UserError(f"{name} is not a column that credit may read{suggest(name, list(COLUMNS))}")


def asks_for(names: Iterable[str], moment: Moment) -> bool:
    """Whether some of these columns are of this moment."""
    return any(column.moment is moment for column in described(names))
