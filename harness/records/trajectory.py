"""A trajectory is a list of steps; a step keeps exactly what the policy saw and sampled."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
    """What the environment paid for the action."""
    valid: bool
    """Whether the environment accepted the action."""


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
    truncated: bool
    """Whether the horizon cut the episode off."""
    branch: Branch | None = None
    """Where this trajectory left its parent; None for a root."""
    failure: str = ""
    """Why its environment crashed or ran out of time, if it did: it is then no success."""

    @property
    def reward(self) -> float:
        """Sum of the rewards."""
        return sum(step.reward for step in self.steps)
