"""What one optimiser step reads.

Shape suffixes: T action tokens of the trained trajectories, in their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Credit
from harness.records import Batch, Trajectory

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Minibatch:
    """Trained trajectories and their columns; optional columns are None when the algorithm has no use."""

    trajectories: list[Trajectory]
    counted_trajectories: int
    """Trajectories of the mini-batch, those that are not trained included."""
    step_T: Ints
    """Number of the token's step."""
    trajectory_T: Ints
    """Number of the token's trajectory."""
    advantage_T: Floats
    old_logprob_T: Floats
    value_T: Floats | None
    """The critic's value when the batch was sampled."""
    return_T: Floats | None
    """The critic's target."""
    critic_T: NDArray[np.bool_] | None
    """Where the critic is trained."""

    @staticmethod
    def of(
        trajectories: Sequence[Trajectory],
        batch: Batch,
        credit: Credit,
        members: NDArray[np.bool_],
    ) -> "Minibatch":
        """The mini-batch of the batch's trajectories where `members` (N,) holds."""
        trained = members if credit.trained_N is None else members & credit.trained_N
        mine_T = trained[batch.trajectory_T]

        return Minibatch(
            trajectories=[trajectories[i] for i in np.flatnonzero(trained).tolist()],
            counted_trajectories=int(members.sum()),
            step_T=batch.step_T[mine_T],
            trajectory_T=batch.trajectory_T[mine_T],
            advantage_T=credit.advantage_T[mine_T],
            old_logprob_T=batch.logprob_T[mine_T],
            value_T=pick(batch.value_T, mine_T),
            return_T=pick(credit.return_T, mine_T),
            critic_T=pick(credit.critic_T, mine_T),
        )


Column = TypeVar("Column", bound=NDArray[Any])


def pick(column_T: Column | None, mine_T: NDArray[np.bool_]) -> Column | None:
    """The chosen tokens of a column that may be absent."""
    return None if column_T is None else cast(Column, column_T[mine_T])
