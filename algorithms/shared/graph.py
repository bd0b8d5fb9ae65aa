"""The state graph of each group: nodes are its states, edges are traversals (one per step).

What G2PO and GraphGPO share; what either makes of it is in its own file. Equal states of different groups are
different nodes, so one graph holds a whole batch. Near-linear in the number of steps.

Shape suffixes: S steps, K nodes (distinct states).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.records.batch import Batch

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
