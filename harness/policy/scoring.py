"""The models of a run and the passes that score with them, each booked in the ledger.

With several ranks, each takes a share of the trajectories at hand, and what they find is gathered.

Shape suffixes: T action tokens of the trajectories at hand, in their order.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray

from algorithms.base import Algorithm
from harness.config import BatchConfig, ModelConfig
from harness.ledger import Ledger, Phase
from harness.policy.gpt2 import Policy
from harness.policy.lora import lora_of
from harness.policy.model import closed_forms, new_critic
from harness.policy.packing import packed
from harness.policy.precision import Placement
from harness.policy.rows import Row, Rows, hidden_states, logprobs, rows_of, spread
from harness.ranks import ALONE, Ranks
from harness.records import Trajectory

Floats = NDArray[np.float64]


class Scorer:
    """Policy, frozen start policy, previous policy and critic: what rollouts and credit may ask them."""

    def __init__(
        self,
        policy: Policy,
        algorithm: Algorithm,
        model: ModelConfig,
        batch: BatchConfig,
        ledger: Ledger,
        ranks: Ranks = ALONE,
    ) -> None:
        self.policy, self.algorithm, self.batch = policy, algorithm, batch
        self.ledger, self.ranks = ledger, ranks
        self.model = model
        self.placement, self.lora = Placement.of(model), lora_of(model)
        self.policy_forms = closed_forms(policy, policy.config, self.lora)
        compared = algorithm.kl_coef > 0 or "reference_logprob_T" in algorithm.columns
        self.reference = frozen_copy(policy) if compared else None
        self.previous: Policy | None = None
        """The policy before the last iteration's updates, once `remember` was called."""
        self.critic = new_critic(policy, model.critic) if algorithm.has_critic else None
        if self.critic:
            self.critic_forms = closed_forms(self.critic, policy.config, self.lora)

    def remember(self) -> None:
        """Keep the policy as it is now as `previous`."""
        self.previous = frozen_copy(self.policy)

    @torch.no_grad()
    def score(self, trajectories: Sequence[Trajectory], model: Policy, phase: Phase) -> Floats:
        """Log-probabilities (T,) of the action tokens under `model`."""
        parts = []
        with self.placement.autocast():
            for rows in self._row_batches(trajectories):
                parts.append(logprobs(model, rows)[0].double().numpy())
                self.book(phase, rows, self.policy_forms.forward)
        return self.ranks.joined(parts)

    @torch.no_grad()
    def values(self, trajectories: Sequence[Trajectory], phase: Phase) -> Floats | None:
        """The critic's values (T,) of the state before each action token; None without a critic."""
        if self.critic is None:
            return None
        parts = []
        with self.placement.autocast():
            for rows in self._row_batches(trajectories):
                value_M = self.critic.values(hidden_states(self.critic.backbone, rows))
                parts.append(spread(value_M, rows).double().numpy())
                self.book(phase, rows, self.critic_forms.forward)
        return self.ranks.joined(parts)

    def book(self, phase: Phase, rows: Rows, form: Callable[..., int], *, distinct: bool = False) -> None:
        """Book a pass over rows, and the time since the phase before; the arguments are `Rows.cost`'s."""
        self.ledger.add(phase, *rows.cost(form, distinct=distinct))
        self.ledger.meter.lap(phase)

    def _row_batches(self, trajectories: Sequence[Trajectory]) -> Iterator[Rows]:
        for part in packed(trajectories[self._share(trajectories)], self.batch.micro_tokens):
            yield Rows.of(all_rows(part))

    def _share(self, trajectories: Sequence[Trajectory]) -> slice:
        """Which of the trajectories are this rank's."""
        rows = [rows_of(trajectory.steps) for trajectory in trajectories]
        return self.ranks.share([sum(len(prompt) + len(response) for prompt, response in r) for r in rows])


def all_rows(trajectories: Sequence[Trajectory]) -> list[Row]:
    """The rows of trajectories."""
    return rows_of([step for trajectory in trajectories for step in trajectory.steps])


def frozen_copy(model: Policy) -> Policy:
    """A copy that is never trained."""
    return deepcopy(model).requires_grad_(False)
