"""GraphGPO (ICML 2026, verl-agent's `recipe/GraphGPO`): a step is worth how near success it leads.

Source of the defaults: the ALFWorld recipe (gamma 0.1, w 1, mean_std_norm); the rest is GiGPO's setting.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from algorithms.base import Credit
from algorithms.factors import NOT_NEGATIVE, POSITIVE, Ranges
from algorithms.shared.anchors import AnchorMethod
from algorithms.shared.graph import StateGraph
from algorithms.shared.groups import shared_share, standardise
from harness.records.batch import Batch, Floats


@dataclass(frozen=True, kw_only=True)
class GraphGPO(AnchorMethod):
    """Graph-based group policy optimisation."""

    name: ClassVar[str] = "graphgpo"
    ranges: ClassVar[Ranges] = {**AnchorMethod.ranges, "step_weight": NOT_NEGATIVE, "success_value": POSITIVE}

    gamma: float = 0.1
    step_weight: float = 1.0
    """Weight w of the step term."""
    success_value: float = 10.0
    """What a step that reaches success is worth: the code's reward, whatever the task pays. A smaller one
    lets the 1e-6 added to the std drown steps far from success."""

    def credit(self, batch: Batch) -> Credit:
        """r_t = success_value gamma^d(s'), standardised among the steps that left s, plus GRPO's term."""
        anchor_S = self.anchors(batch)
        distance_S = next_distances(batch, StateGraph.of(batch, anchor_S))
        worth_S = self.success_value * self.gamma**distance_S - self.penalty(batch)
        step_S = standardise(worth_S, anchor_S, divide=self.divides)
        advantage_S = self.episode_advantage(batch) + self.step_weight * step_S
        return Credit.of_steps(
            batch,
            advantage_S,
            steps_in_shared_states=shared_share(anchor_S),
            distance_to_success=float(distance_S.mean()),
        )


def distances(graph: StateGraph) -> Floats:
    """Fewest traversed edges from each node (K,) to success; infinite if nothing led there."""
    ends = np.ones(len(graph.node_S)), (graph.next_S, graph.node_S)
    reverse = csr_array(ends, shape=(graph.nodes + 2, graph.nodes + 2))
    distance: Floats = dijkstra(reverse, indices=[graph.nodes], unweighted=True)[0]
    return distance[: graph.nodes]


def next_distances(batch: Batch, graph: StateGraph) -> Floats:
    """Unit-cost distance (S,) to success from the state each step reaches.

    What never led to success is one farther than the farthest state of its group that did.
    """
    distance_K = distances(graph)
    reached_S = np.append(distance_K, [0.0, np.inf])[graph.next_S]
    own_S = distance_K[graph.node_S]
    _, group_S = np.unique(batch.group_S, return_inverse=True)
    farthest_G = np.zeros(int(group_S.max()) + 1)
    np.maximum.at(farthest_G, group_S, np.where(np.isfinite(own_S), own_S, 0.0))
    return np.where(np.isfinite(reached_S), reached_S, farthest_G[group_S] + 1)
