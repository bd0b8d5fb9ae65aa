"""The state graph of each group: nodes are its states, edges are traversals (one a step).

Shared by GiGPO, HGPO, GraphGPO and G2PO. Equal states of different groups are different nodes, so one graph
holds a whole batch. Every function is near-linear in the number of steps.

Shape suffixes: S steps, N trajectories, K nodes (distinct states).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from harness.records.batch import Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class StateGraph:
    """Nodes, and the edge that each step traverses."""

    node_S: Ints
    """Node that the step leaves, 0 to K - 1."""
    next_S: Ints
    """Node that it reaches: 0 to K - 1, K for success, K + 1 for the end without it."""
    nodes: int
    """K."""

    @staticmethod
    def of(batch: Batch, state_S: Ints) -> "StateGraph":
        """The graph of a batch whose steps leave these states."""
        states, node_S = np.unique(state_S, return_inverse=True)
        nodes = len(states)
        next_S = np.append(node_S[1:], 0)
        next_S[batch.last_step_N] = np.where(batch.success_N, nodes, nodes + 1)
        return StateGraph(node_S, next_S, nodes)

    @cached_property
    def visits_K(self) -> Ints:
        """Steps that leave each node."""
        return np.bincount(self.node_S, minlength=self.nodes)

    def mean_K(self, x_S: Floats) -> Floats:
        """Each node's mean over all its visits; two visits by one trajectory count twice."""
        return np.bincount(self.node_S, x_S, self.nodes) / self.visits_K

    @cached_property
    def distance_K(self) -> Floats:
        """Fewest traversed edges from each node to success; infinite where nothing led there."""
        ends = np.ones(len(self.node_S)), (self.next_S, self.node_S)
        reverse = csr_array(ends, shape=(self.nodes + 2, self.nodes + 2))
        distance: Floats = dijkstra(reverse, indices=[self.nodes], unweighted=True)[0]
        return distance[: self.nodes]


def graph_values(batch: Batch, graph: StateGraph, gamma: float) -> tuple[Floats, Floats]:
    """G2PO's values (arXiv 2606.22995) of the node each step leaves, and of the one it reaches.

    V(G) = the mean over visits of `trajectory_values`; at the end the reward of a solved task, else 0.
    """
    visit_S, reached_S = trajectory_values(batch, gamma)
    value_K = graph.mean_K(visit_S)
    next_value_S = np.append(value_K, [0.0, 0.0])[graph.next_S]
    next_value_S[batch.last_step_N] = reached_S[batch.last_step_N]
    return value_K[graph.node_S], next_value_S


def trajectory_values(batch: Batch, gamma: float) -> tuple[Floats, Floats]:
    """What each step's own trajectory says of the state it leaves, and of the one it reaches.

    gamma^(steps left) x the reward of a solved task, else 0; a step counts itself as left in the state it
    leaves, and none is left at the end.
    """
    steps_left_S = batch.last_step_N[batch.trajectory_S] - np.arange(len(batch.state_S)) + 1
    terminal_S = np.where(batch.success_N, batch.reward_N, 0.0)[batch.trajectory_S]
    return (
        np.float64(gamma) ** steps_left_S * terminal_S,
        np.float64(gamma) ** (steps_left_S - 1) * terminal_S,
    )


def histories(batch: Batch, state_S: Ints, length: int) -> list[Ints]:
    """Codes of the last 1, 2, …, `length` states up to each step (HGPO's contexts); -1 where too few came."""
    state_S = np.unique(state_S, return_inverse=True)[1].astype(np.int64)
    place_S = np.arange(len(state_S)) - batch.first_step_N[batch.trajectory_S]
    codes = [state_S]
    for k in range(1, length):
        before_S = np.append(-1, codes[-1][:-1])
        pair_S = before_S * (state_S.max() + 1) + state_S
        code_S = np.unique(pair_S, return_inverse=True)[1].astype(np.int64)
        codes.append(np.where(place_S >= k, code_S, -1))
    return codes
