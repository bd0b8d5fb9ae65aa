"""A trajectory is a list of steps; a step keeps exactly what the policy saw and sampled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class StopReason(Enum):
    """Why an episode ended."""

    solved = "solved"
    """The environment ended it, the task being solved."""
    failed = "failed"
    """The environment ended it, the task not being solved."""
    horizon = "horizon"
    """It had as many steps as are allowed."""
    response_too_long = "response_too_long"
    """A response had no end within its longest length, and `model.stop_on_format` is set."""
    prompt_too_long = "prompt_too_long"
    """The conversation outgrew the longest prompt, and `model.truncation` is `stop`."""
    format = "format"
    """A response was not in the form that the prompt asks for, and `model.stop_on_format` is set."""
    timeout = "timeout"
    """Its environment took longer than `rollout.timeout`."""
    crash = "crash"
    """Its environment raised an error."""

    @property
    def lost(self) -> bool:
        """Whether the environment or the machine ended it: such an episode says nothing about the policy. It
        is not trained on, and no score counts it."""
        return self in (StopReason.timeout, StopReason.crash)


@dataclass(frozen=True)
class Step:
    """One decision. L response tokens; nothing here is ever re-tokenised."""

    prompt_ids: tuple[int, ...]
    """The ids the policy saw."""
    response_ids: tuple[int, ...]
    """The L ids it sampled, end token included."""
    logprob_L: NDArray[np.float32]
    """Log-probabilities (nats) of the sampled ids under the policy that sampled them."""
    entropy_L: NDArray[np.float32]
    """Full-vocabulary entropies (nats) of the distributions they were sampled from."""
    observation: str
    """What the environment showed before the action."""
    action: str
    """The response as the environment read it."""
    state_key: str
    """The environment's state before the action."""
    reward: float
    """What the policy is paid for the action (`rollout.reward`, `rollout.reward_scale`), less the penalty of
    an ill-formed response."""
    valid: bool
    """Whether the environment accepted the action."""
    well_formed: bool = True
    """Whether the response had the form that the prompt asks for."""


@dataclass(frozen=True)
class Branch:
    """Where a continuation left its parent: before token `token` of step `step`."""

    parent: int
    """Index of the parent in the same list of trajectories."""
    step: int
    """Step within the parent, from 0."""
    token: int
    """Token within that step's response, from 0."""


@dataclass(frozen=True)
class Trajectory:
    """One episode. A branch holds its parent's steps before the branch point too."""

    task_id: str
    """The task's name."""
    group: int
    """Number of the task's draw in the run: the trajectories of one draw are a group."""
    rollout: int
    """Number within the group; roots come first."""
    steps: tuple[Step, ...]
    """The decisions in order."""
    success: bool
    """Whether the task was solved."""
    stop: StopReason
    """Why the episode ended."""
    score: float
    """How well the task was done, 0 to 1; without grades, 1 for success and 0 for all else."""
    branch: Branch | None = None
    """Where this trajectory left its parent; None for a root."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The environment's own numbers, by name: the last value of each."""
    failure: str = ""
    """The reason of its environment's error or time-out, if there was one."""

    @property
    def reward(self) -> float:
        """Sum of the rewards."""
        return sum(step.reward for step in self.steps)
