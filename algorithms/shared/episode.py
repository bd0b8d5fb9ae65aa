"""The term that methods with a group share: a trajectory's reward against its group's."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Algorithm
from algorithms.factors import NOT_NEGATIVE, Equations, NormaliseUnit, Ranges
from algorithms.shared.groups import reward_size, score_over_steps, standardise
from harness.errors import UserError
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class GroupMethod(Algorithm):
    """What methods that compare the trajectories of a task have in common."""

    fewest_rollouts: ClassVar[int] = 2
    ranges: ClassVar[Ranges] = {**Algorithm.ranges, "invalid_penalty": NOT_NEGATIVE}

    equations: Equations = Equations.paper
    """`paper`: episode statistics over trajectories. `released`: over steps, as verl-agent's code runs them,
    less `invalid_penalty` on invalid steps."""
    invalid_penalty: float = 0.0
    """Taken from an invalid step's scores under `equations=released` (the code: 0.1 at a
    reward of 10, so 0.01 at a reward of 1)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.invalid_penalty and self.equations is Equations.paper:
            raise UserError(
                f"algorithm.invalid_penalty={self.invalid_penalty} clashes with algorithm.equations=paper, "
                "which has none: choose equations=released, or invalid_penalty=0"
            )

    @property
    def divides(self) -> bool:
        """Whether terms are divided by their standard deviation (`mean_std_norm`), or only centred."""
        return self.normalise_unit is not NormaliseUnit.none

    def episode_advantage(self, batch: Batch) -> NDArray[np.float64]:
        """GRPO's advantage of each step's trajectory, (S,)."""
        size_N = reward_size(batch)
        if self.equations is Equations.released:
            score_S = score_over_steps(batch, self.invalid_penalty)
            size_S = size_N[batch.trajectory_S]
            return standardise(score_S, batch.group_S, size_X=size_S, divide=self.divides)
        advantage_N = standardise(batch.reward_N, batch.group_N, size_X=size_N, divide=self.divides)
        return advantage_N[batch.trajectory_S]

    def penalty(self, batch: Batch) -> NDArray[np.float64]:
        """What the step itself loses for being invalid, (S,): nothing under `equations=paper`."""
        return np.asarray(self.invalid_penalty * ~batch.valid_S, dtype=np.float64)
