"""G2PO (arXiv 2606.22995): episode term + node-centred + edge-centred advantages on the group's state graph.

Defaults: the ALFWorld setting (gamma 0.95, w 1, mean_std_norm, 8 rollouts, k3 KL 0.01, entropy 0.001).
A graph of one edge gives 0 (the released code gives NaN).
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.base import (
    Aggregation,
    Algorithm,
    Baseline,
    Credit,
    CreditUnit,
    Equations,
    KLEstimator,
    NormaliseUnit,
    RatioUnit,
)
from algorithms.shared.graph import state_graph
from algorithms.shared.groups import (
    episode_advantage,
    episode_advantage_over_steps,
    shared_share,
    standardise,
)
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class G2PO(Algorithm):
    """Group-graph policy optimisation."""

    name: ClassVar[str] = "g2po"
    baselines: ClassVar[tuple[Baseline, ...]] = (Baseline.graph_value,)

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
    equations: Equations = Equations.paper
    """`paper`: episode statistics over trajectories. `released`: over steps, with the invalid penalty."""
    invalid_penalty: float = 0.0
    """Taken from an invalid step's scores under `equations=released` (the code: 0.1 at a reward of 10)."""

    def credit(self, batch: Batch) -> Credit:
        """A = A_EP + w (A_NC + A_EC), each standardised (or only centred with normalise_unit=none)."""
        divide = self.normalise_unit is not NormaliseUnit.none
        graph = state_graph(batch, self.gamma)
        next_value_S = graph.next_value_S
        if self.equations is Equations.released:
            penalty = self.invalid_penalty
            episode_S = episode_advantage_over_steps(batch, penalty=penalty, divide=divide)
            next_value_S = next_value_S - penalty * ~batch.valid_S
        else:
            episode_S = episode_advantage(batch, divide=divide)
        node_S = standardise(next_value_S, batch.state_S, divide=divide)
        # The edge term has neither the discount nor the penalty, in the paper as in the code.
        edge_S = standardise(graph.next_value_S - graph.value_S, batch.group_S, divide=divide)
        advantage_S = episode_S + self.graph_weight * (node_S + edge_S)
        return Credit(
            advantage_T=advantage_S[batch.step_T],
            diagnostics={
                "advantage_std": float(advantage_S.std()),
                "steps_in_shared_states": shared_share(batch.state_S),
            },
        )
