"""G2PO (arXiv 2606.22995): episode term + node-centred + edge-centred advantages on the group's state graph.

Defaults: the ALFWorld setting (gamma 0.95, w 1, mean_std_norm, 8 rollouts, k3 KL 0.01, entropy 0.001).
A graph of one edge gives 0 (the released code gives NaN).
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import Computes, Credit
from algorithms.factors import Aggregation, Baseline, CreditUnit, KLEstimator, NormaliseUnit, RatioUnit
from algorithms.shared.episode import GroupMethod
from algorithms.shared.graph import StateGraph, graph_values, trajectory_values
from algorithms.shared.groups import shared_share, standardise
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class G2PO(GroupMethod):
    """Group-graph policy optimisation."""

    name: ClassVar[str] = "g2po"
    computes: ClassVar[Computes] = {"baseline": (Baseline.graph_value,)}
    reads: ClassVar[tuple[str, ...]] = ("state_S",)

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
        """A = A_EP + w (A_NC + A_EC), each standardised (or only centred with normalise_unit=none)."""
        if self.group_values:
            value_S, next_value_S = graph_values(batch, StateGraph.of(batch, batch.state_S), self.gamma)
        else:
            value_S, next_value_S = trajectory_values(batch, self.gamma)
        graph_S = standardise(next_value_S - self.penalty(batch), batch.state_S, divide=self.divides)
        if self.edge_term:
            # The edge term has neither the discount nor the penalty, in the paper as in the code.
            graph_S = graph_S + standardise(next_value_S - value_S, batch.group_S, divide=self.divides)
        advantage_S = self.episode_advantage(batch) + self.graph_weight * graph_S
        return Credit.of_steps(batch, advantage_S, steps_in_shared_states=shared_share(batch.state_S))
