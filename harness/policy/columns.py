"""How the columns of a batch are filled that playing leaves empty: a row each, for training and for records.

What a column is says `harness/records/batch.py`. Two are filled elsewhere, as they depend on where the loop
stands: `current_logprob_T` by the trainer and the sampler, `previous_logprob_T` by the sampler. Plans read
this table too, so torch is not imported here.

Shape suffixes: T action tokens, S steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import UserError
from harness.ledger import Phase
from harness.records import Trajectory
from harness.records.batch import Floats

if TYPE_CHECKING:
    from harness.policy.exact import TrueValues
    from harness.policy.rows import Rows
    from harness.policy.scoring import Scorer


@dataclass(frozen=True)
class Sources:
    """Whom a filler may ask."""

    scorer: "Scorer"
    """The models of the run as they are now. What they compute is booked by them."""
    true_values: "TrueValues | None"
    """None if an environment's situations can't all be listed."""


Fill = Callable[[Sources, Sequence[Trajectory], Phase], Floats | None]
"""Fills a column, (T,) or (S,), for trajectories as they were played, and books its passes under a phase.

None if this run can't tell, as without a critic; `UserError` if it turns out that it can't.
"""


@dataclass(frozen=True)
class Filler:
    """How a column is filled, and what that costs."""

    fill: Fill
    phase: Phase
    """Where it is booked in training; what an evaluation records is the evaluation's."""
    policy_passes: int = 0
    """Forward passes of the policy inside the budget, each over every step's prompt and a response."""
    critic_passes: int = 0
    """The same of the critic."""


def critic_values(sources: Sources, trajectories: Sequence[Trajectory], phase: Phase) -> Floats | None:
    """The critic's values (T,)."""
    return sources.scorer.values(trajectories, phase)


def reference_logprobs(sources: Sources, trajectories: Sequence[Trajectory], phase: Phase) -> Floats | None:
    """Log-probabilities (T,) under the start policy, if the run keeps it."""
    scorer = sources.scorer
    return scorer.score(trajectories, scorer.reference, phase) if scorer.reference else None


def true_advantages(sources: Sources, trajectories: Sequence[Trajectory], phase: Phase) -> Floats | None:
    """Q - V (S,) of the steps' actions. Raises `UserError` if there are too many situations."""
    scorer, true_values = sources.scorer, sources.true_values
    if true_values is None:
        return None

    def book(rows: "Rows") -> None:
        scorer.book(phase, rows, scorer.policy_forms.forward, distinct=True)

    def find() -> Floats | UserError:
        try:
            return true_values.advantages(trajectories, scorer.policy, book)
        except UserError as error:
            return error

    # An error of the first rank is every rank's: one that raised alone would leave the others waiting.
    found = scorer.ranks.once(find)
    if isinstance(found, UserError):
        raise found
    return found


FILLERS = {
    "value_T": Filler(critic_values, Phase.critic_forward, critic_passes=1),
    "reference_logprob_T": Filler(reference_logprobs, Phase.score_reference, policy_passes=1),
    "true_advantage_S": Filler(true_advantages, Phase.true_values),
}
"""By column, how it is filled."""
