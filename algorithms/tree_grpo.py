"""Tree-GRPO (arXiv 2509.21240): trees whose nodes are steps; advantages inside a tree and between trees.

Source of the defaults: the multi-hop script (M 2 trees, N 2 nodes, L 1 round, all 3 leaves kept and trained,
k3 KL 0.001).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.base import BranchPoint, Computes, Credit, RolloutPlan
from algorithms.factors import (
    COUNT,
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
from algorithms.shared.groups import members, reward_size, standardise
from harness.errors import UserError
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class TreeGRPO(GroupMethod):
    """Tree-based group-relative policy optimisation."""

    name: ClassVar[str] = "tree_grpo"
    computes: ClassVar[Computes] = {
        "credit_unit": (CreditUnit.trajectory,),
        "baseline": (Baseline.group_mean,),
        "normalise_unit": (NormaliseUnit.none, NormaliseUnit.trajectories_of_group),
        "equations": (Equations.paper,),
    }
    ranges: ClassVar[Ranges] = {**GroupMethod.ranges, "nodes": COUNT, "rounds": COUNT}

    credit_unit: CreditUnit = CreditUnit.trajectory
    baseline: Baseline = Baseline.group_mean
    normalise_unit: NormaliseUnit = NormaliseUnit.trajectories_of_group
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.seq_mean_token_mean
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.001
    rollouts: int = 6
    nodes: int = 2
    """Nodes N of a tree that are expanded in a round, drawn with replacement."""
    rounds: int = 1
    """Rounds L of expansion; a task has rollouts / (nodes x rounds + 1) trees."""

    def __post_init__(self) -> None:
        super().__post_init__()
        leaves = self.nodes * self.rounds + 1
        if self.rollouts % leaves:
            raise UserError(
                f"algorithm.rollouts={self.rollouts} must be a multiple of the {leaves} leaves per tree "
                "(algorithm.nodes x algorithm.rounds + 1)"
            )

    def plan(self) -> RolloutPlan:
        """M root chains and N L expansions of each."""
        roots = self.rollouts // (self.nodes * self.rounds + 1)
        return RolloutPlan(roots=roots, branches=self.rollouts - roots)

    def select_branches(self, batch: Batch, turn: int, random: np.random.Generator) -> list[BranchPoint]:
        """N nodes of each tree, uniformly among those that are not leaves, the start included."""
        points: list[BranchPoint] = []
        for tree in members(trees(batch)):
            nodes = [
                BranchPoint(int(trajectory), step, 0)
                for trajectory in tree
                for step in own_steps(batch, int(trajectory))
            ]
            points += [nodes[i] for i in random.integers(len(nodes), size=self.nodes)]
        return points

    def credit(self, batch: Batch) -> Credit:
        """A_intra + A_inter: the reward standardised over the leaves of its tree, and of its task's trees."""
        within_N = standardise(batch.reward_N, trees(batch), size_X=reward_size(batch), divide=self.divides)
        between_S = self.episode_advantage(batch)
        return Credit.of_steps(batch, within_N[batch.trajectory_S] + between_S)


def trees(batch: Batch) -> NDArray[np.int64]:
    """The root (N,) that each trajectory descends from."""
    tree_N = np.arange(len(batch.parent_N))
    while not batch.root_N[tree_N].all():
        tree_N = np.where(batch.root_N[tree_N], tree_N, batch.parent_N[tree_N])
    return tree_N


def own_steps(batch: Batch, trajectory: int) -> range:
    """Steps that start at a node of the trajectory's own: a branch's first node is its parent's."""
    first = 0 if batch.root_N[trajectory] else int(batch.branch_step_N[trajectory]) + 1
    return range(first, int(batch.steps_N[trajectory]))
