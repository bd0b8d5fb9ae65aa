"""G2PO (arXiv 2606.22995): episode term + node-centred + edge-centred advantages on the group's state graph.

Defaults: the ALFWorld setting (gamma 0.95, w 1, mean_std_norm, 8 rollouts, k3 KL 0.01, entropy 0.001).
A graph of one edge gives 0 (the released code gives NaN).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from algorithms.base import Computes, Credit
from algorithms.factors import (
    NOT_NEGATIVE,
    Aggregation,
    Baseline,
    CreditUnit,
    Equations,
    KLEstimator,
    NormaliseUnit,
    Ranges,
    RatioUnit,
)
from algorithms.shared.episode import GroupMethod
from algorithms.shared.graph import StateGraph
from algorithms.shared.groups import beyond_rounding, largest, reward_size, shared_share, standardise
from harness.errors import UserError
from harness.records.batch import Batch, Floats


@dataclass(frozen=True, kw_only=True)
class G2PO(GroupMethod):
    """Group-graph policy optimisation."""

    name: ClassVar[str] = "g2po"
    computes: ClassVar[Computes] = {"baseline": (Baseline.graph_value,)}
    reads: ClassVar[tuple[str, ...]] = ("state_S",)
    ranges: ClassVar[Ranges] = {**GroupMethod.ranges, "graph_weight": NOT_NEGATIVE}

    credit_unit: CreditUnit = CreditUnit.step
    baseline: Baseline = Baseline.graph_value
    normalise_unit: NormaliseUnit = NormaliseUnit.edges_of_graph
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.token_mean
    gamma: float = 0.95
    dual_clip: float = 3.0
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.01
    entropy_coef: float = 0.001
    rollouts: int = 8
    graph_weight: float = 1.0
    """Weight w of the two graph terms."""
    group_values: bool = True
    """Whether a state is worth the mean over all visits of the group; if not, each visit is worth its own
    trajectory's discounted outcome (the paper's ablation of group aggregation: A_NC is then GiGPO's step
    term)."""
    edge_term: bool = True
    """Whether A_EC is added (the paper's last ablation leaves it out)."""

    def credit(self, batch: Batch) -> Credit:
        """A = A_EP + w (A_NC + A_EC), each standardised (or only centred with normalise_unit=none).

        Raises `UserError` with equations=released if a failed trajectory was paid: the code has no such case.
        """
        if self.equations is Equations.released:
            check_failures_pay_nothing(batch)
        if self.group_values:
            value_S, next_value_S = graph_values(batch, StateGraph.of(batch, batch.state_S), self.gamma)
        else:
            value_S, next_value_S = trajectory_values(batch, self.gamma)
        size_S = largest(reward_size(batch), batch.group_N)[batch.trajectory_S]
        reached_S = next_value_S - self.penalty(batch)
        graph_S = standardise(reached_S, batch.state_S, size_X=size_S, divide=self.divides)
        if self.edge_term:
            # The edge term has neither the discount nor the penalty, in the paper as in the code.
            gain_S = next_value_S - value_S
            graph_S = graph_S + standardise(gain_S, batch.group_S, size_X=size_S, divide=self.divides)
        advantage_S = self.episode_advantage(batch) + self.graph_weight * graph_S
        return Credit.of_steps(batch, advantage_S, steps_in_shared_states=shared_share(batch.state_S))


def graph_values(batch: Batch, graph: StateGraph, gamma: float) -> tuple[Floats, Floats]:
    """The value of the node each step leaves, and of the one it reaches.

    V(G) = the mean of `trajectory_values` over all visits, so that two visits by one trajectory count twice;
    an end is worth the trajectory's own reward.
    """
    visit_S, reached_S = trajectory_values(batch, gamma)
    visits_K = np.bincount(graph.node_S, minlength=graph.nodes)
    value_K = np.bincount(graph.node_S, visit_S, graph.nodes) / visits_K
    next_value_S = np.append(value_K, [0.0, 0.0])[graph.next_S]
    next_value_S[batch.last_step_N] = reached_S[batch.last_step_N]
    return value_K[graph.node_S], next_value_S


def trajectory_values(batch: Batch, gamma: float) -> tuple[Floats, Floats]:
    """What each step's own trajectory says of the state it leaves, and of the one it reaches.

    gamma^(steps left) R, with R the sum of the trajectory's rewards, solved or not; a step counts itself as
    left in the state it leaves, and none is left at the end.
    """
    steps_left_S = batch.last_step_N[batch.trajectory_S] - np.arange(len(batch.state_S)) + 1
    reward_S = batch.reward_N[batch.trajectory_S]
    return np.float64(gamma) ** steps_left_S * reward_S, np.float64(gamma) ** (steps_left_S - 1) * reward_S


def check_failures_pay_nothing(batch: Batch) -> None:
    """Raise `UserError` if a trajectory that was not solved was paid something, or charged."""
    failed_N = beyond_rounding(batch.reward_N, reward_size(batch))[~batch.success_N]
    if failed_N.any():
        paid = failed_N[failed_N != 0][0]
        raise UserError(
            f"algorithm.equations=released clashes with a failed trajectory that was paid {paid:g}: the "
            "released code values every failure at 0, and so above a solved task with costs; choose "
            "equations=paper"
        )
