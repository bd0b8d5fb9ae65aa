"""From an iteration's trajectories to optimiser steps: fill the batch's columns, credit, update.

Shape suffixes: T action tokens, S steps, N trajectories.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Algorithm, Credit
from algorithms.shared.kl_reward import with_kl_in_reward
from harness.ledger import Phase
from harness.policy.exact import TrueValues
from harness.policy.rows import Rows
from harness.records import Batch, Trajectory
from harness.update.learner import Learner
from harness.update.minibatch import Minibatch

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Trainer:
    """Credits trajectories and trains on them."""

    def __init__(self, algorithm: Algorithm, learner: Learner, true_values: TrueValues) -> None:
        self.algorithm, self.learner, self.true_values = algorithm, learner, true_values

    def train(
        self, batch: Batch, trajectories: list[Trajectory], current_T: Floats | None, minibatches: int
    ) -> list[dict[str, float]]:
        """Credit, and an optimiser step for each of `minibatches` runs of whole groups; their metrics.

        Credit is taken once over all of them, or for each in its turn where it reads the current policy. Its
        log-probabilities of the first trajectories' tokens are `current_T`, or as sampled.
        """
        batch = self._with_columns(batch, trajectories)
        changing = "current_logprob_T" in self.algorithm.columns
        if changing:
            known_T = batch.logprob_T if current_T is None else current_T
            rest_T = batch.logprob_T[len(known_T) :]
            batch = replace(batch, current_logprob_T=np.concatenate([known_T, rest_T]))
        credit = self._credit(batch)
        metrics = []
        for number, groups in enumerate(np.array_split(np.unique(batch.group_N), minibatches)):
            members_N = np.isin(batch.group_N, groups)
            if changing and number > 0:
                credit = self._credit(self._rescored(batch, trajectories, members_N))
            minibatch = Minibatch.of(trajectories, batch, credit, members_N)
            metrics.append(credit.diagnostics | self.learner.update(minibatch))
        return metrics

    def _credit(self, batch: Batch) -> Credit:
        credit = self.algorithm.credit(batch)
        self.learner.ledger.meter.lap(Phase.credit)
        return credit

    def _with_columns(self, batch: Batch, trajectories: list[Trajectory]) -> Batch:
        """The batch with what the algorithm reads and only the models can tell, before any update."""
        batch = replace(batch, value_T=self.learner.values(trajectories, Phase.critic_forward))
        columns = self.algorithm.columns
        if "reference_logprob_T" in columns:
            assert self.learner.reference is not None
            reference_T = self.learner.score(trajectories, self.learner.reference, Phase.score_reference)
            batch = replace(batch, reference_logprob_T=reference_T)
        if "true_advantage_S" in columns:
            policy, book = self.learner.policy, self._book_true_values
            true_S = self.learner.ranks.once(lambda: self.true_values.advantages(trajectories, policy, book))
            batch = replace(batch, true_advantage_S=true_S)
        return with_kl_in_reward(batch, self.algorithm)

    def _rescored(self, batch: Batch, trajectories: list[Trajectory], members_N: Bools) -> Batch:
        """The current policy's log-probabilities of the members' roots; of all others, as sampled."""
        scored_N = members_N & batch.root_N
        mine = [trajectories[i] for i in np.flatnonzero(scored_N).tolist()]
        current_T = batch.logprob_T.copy()
        current_T[scored_N[batch.trajectory_T]] = self.learner.score(
            mine, self.learner.policy, Phase.branch_scoring
        )
        return replace(batch, current_logprob_T=current_T)

    def _book_true_values(self, rows: Rows) -> None:
        forms, tokens = self.learner.policy_forms, int(rows.length_U.sum())
        computed = forms.forward(rows.length_B, rows.positions, rows.predicted)
        self.learner.ledger.add(Phase.true_values, tokens, forms.forward(rows.length_U), computed)
        self.learner.ledger.meter.lap(Phase.true_values)
