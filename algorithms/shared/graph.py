"""The state graph of a group: nodes are states, edges are traversals (G2PO, section 1.1 of its notes).

Shape suffixes: S steps (each one traversal), K nodes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.records.batch import Batch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StateGraph:
    """Values of the node each step leaves and of the node it reaches."""

    value_S: Floats
    """Value of the step's own node."""
    next_value_S: Floats
    """Value of the node it leads to; for a last step, the terminal: the reward of a solved task, else 0."""


def state_graph(batch: Batch, gamma: float) -> StateGraph:
    """Node values V(G) = mean over all visits of gamma^(steps left, this one included) x reward.

    Visits are not deduplicated: a state visited twice in one trajectory counts twice.
    """
    last_S = batch.last_step_N[batch.trajectory_S]
    steps_left_S = last_S - np.arange(len(last_S)) + 1
    terminal_N = np.where(batch.success_N, batch.reward_N, 0.0)
    terminal_S = terminal_N[batch.trajectory_S]
    visit_S = gamma**steps_left_S * terminal_S
    _, node_S, visits_K = np.unique(batch.state_S, return_inverse=True, return_counts=True)
    value_S = (np.bincount(node_S, visit_S) / visits_K)[node_S]
    next_value_S = np.append(value_S[1:], 0.0)
    next_value_S[batch.last_step_N] = terminal_N
    return StateGraph(value_S, next_value_S)
