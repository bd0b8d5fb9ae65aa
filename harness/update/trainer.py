"""From an iteration's trajectories to optimiser steps: fill the batch's columns, credit, update.

Shape suffixes: T action tokens, S steps, N trajectories.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Algorithm, Credit
from algorithms.shared.checked import checked_credit
from algorithms.shared.kl_reward import with_kl_in_reward
from harness.ledger import Phase
from harness.policy.columns import FILLERS, Sources
from harness.records import Batch, Trajectory
from harness.update.learner import Learner
from harness.update.minibatch import Minibatch

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Trainer:
    """Credits trajectories and trains on them."""

    def __init__(self, algorithm: Algorithm, learner: Learner, sources: Sources) -> None:
        self.algorithm, self.learner, self.sources = algorithm, learner, sources

    def train(
        self, batch: Batch, trajectories: list[Trajectory], current_T: Floats | None, minibatches: int
    ) -> list[dict[str, float]]:
        """Credit, and an optimiser step for each of `minibatches` sets of whole groups; their metrics.

        Credit is computed once for the whole batch. If the algorithm reads the current policy's
        log-probabilities, it is computed again before each further mini-batch. `current_T`: those
        log-probabilities for the roots' tokens, if already known; None means that they equal the sampled
        ones.
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
        credit = checked_credit(self.algorithm, batch)
        self.learner.ledger.meter.lap(Phase.credit)
        return credit

    def _with_columns(self, batch: Batch, trajectories: list[Trajectory]) -> Batch:
        """The batch with the columns that the algorithm reads and the models must fill, before any update."""
        filled: dict[str, Any] = {}
        for name, filler in FILLERS.items():
            if name in self.algorithm.columns:
                filled[name] = filler.fill(self.sources, trajectories, filler.phase)
                if filled[name] is None:
                    raise RuntimeError(f"{self.algorithm.name} reads {name}, which this run can't tell")
        return with_kl_in_reward(replace(batch, **filled), self.algorithm)

    def _rescored(self, batch: Batch, trajectories: list[Trajectory], members_N: Bools) -> Batch:
        """The current policy's log-probabilities of the members' roots; of all others, as sampled."""
        scored_N = members_N & batch.root_N
        mine = [trajectories[i] for i in np.flatnonzero(scored_N).tolist()]
        current_T = batch.logprob_T.copy()
        current_T[scored_N[batch.trajectory_T]] = self.learner.score(
            mine, self.learner.policy, Phase.branch_scoring
        )
        return replace(batch, current_logprob_T=current_T)
