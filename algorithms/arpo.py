"""ARPO (arXiv 2507.19849): after a tool's answer, branch the likelier the more uncertain the policy became.

Source of the defaults: ARPO's reasoning script (16 rollouts, 8 of them roots, beam 2, probability 0.5, weight
0.2, no KL). Advantages are the released "soft" form: plain GRPO over roots and branches, all of them trained,
so that a shared prefix is trained once for each trajectory that holds it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.base import BranchPoint, Computes, RolloutPlan
from algorithms.factors import COUNT, SHARE, Equations, KLEstimator, Ranges
from algorithms.grpo import GRPO
from algorithms.shared.groups import members
from algorithms.shared.plain import PLAIN
from harness.errors import UserError
from harness.records.batch import Batch

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ARPO(GRPO):
    """Agentic reinforced policy optimisation."""

    name: ClassVar[str] = "arpo"
    computes: ClassVar[Computes] = {**PLAIN, "equations": (Equations.paper,)}
    ranges: ClassVar[Ranges] = {
        **GRPO.ranges,
        "roots": COUNT,
        "branch_probability": SHARE,
        "entropy_tokens": COUNT,
        "beam": COUNT,
    }

    kl_estimator: KLEstimator = KLEstimator.none
    kl_coef: float = 0.0
    entropy_coef: float = 0.0
    rollouts: int = 16
    roots: int = 8
    """Initial rollouts of a task; the others branch, or start afresh when the roots end first."""
    branch_probability: float = 0.5
    """Probability of a branch when the entropy has not changed."""
    entropy_weight: float = 0.2
    """Its growth with the entropy since the first step."""
    entropy_tokens: int = 20
    """First tokens of a response whose entropy counts."""
    beam: int = 2
    """A trajectory may branch beam - 1 times after one tool answer."""
    segment: Equations = Equations.paper
    """`paper`: the mean entropy of the response after the tool's answer. `released`: the sum over the
    response before it, as the code computes it (there from the ten likeliest tokens only)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.roots > self.rollouts:
            raise UserError(f"algorithm.roots={self.roots} must be 1 to algorithm.rollouts={self.rollouts}")

    def plan(self) -> RolloutPlan:
        """The roots, and the rest as branches."""
        return RolloutPlan(roots=self.roots, branches=self.rollouts - self.roots)

    def select_branches(self, batch: Batch, turn: int, random: np.random.Generator) -> list[BranchPoint]:
        """Turn t looks at every trajectory that got a tool's answer before its step t + 1."""
        boundary = turn + 1
        entropy_S = self.normalised_entropy(batch)
        points: list[BranchPoint] = []
        for group in members(batch.group_N):
            spare = self.plan().branches - int((~batch.root_N[group]).sum())
            if (batch.steps_N[group] <= boundary).all():
                # Nothing is left to branch from: the rest are fresh rollouts.
                points += [BranchPoint(int(group[i % self.roots]), 0, 0) for i in range(spare)]
                continue
            for trajectory in group.tolist():
                # A continuation that starts here has just been made and is not asked again.
                new = not batch.root_N[trajectory] and batch.branch_step_N[trajectory] >= boundary
                if batch.steps_N[trajectory] <= boundary or new:
                    continue
                first = batch.first_step_N[trajectory]
                now = first + boundary - (self.segment is Equations.released)
                for _ in range(self.beam - 1):
                    draw = random.random()
                    if spare and self.branches(draw, entropy_S[now], entropy_S[first]):
                        points.append(BranchPoint(trajectory, boundary, 0))
                        spare -= 1
        return points

    def branches(self, draw: float, entropy: float, initial: float) -> bool:
        """Whether a uniform draw makes a branch: with probability p + w (H_now - H_initial), clipped."""
        weighted = draw - self.entropy_weight * (entropy - initial)
        return min(max(weighted, 0.0), 1.0) <= self.branch_probability

    def normalised_entropy(self, batch: Batch) -> Floats:
        """Entropy (S,) of each response's first tokens over ln(vocabulary): mean, or sum if released."""
        place_T = np.arange(len(batch.entropy_T)) - batch.first_token_S[batch.step_T]
        counted_T = place_T < self.entropy_tokens
        sum_S = np.bincount(batch.step_T, batch.entropy_T * counted_T, len(batch.tokens_S))
        scale = np.log(batch.vocabulary) if batch.vocabulary > 1 else 1.0
        if self.segment is Equations.released:
            return np.asarray(sum_S / scale)
        return np.asarray(sum_S / np.minimum(batch.tokens_S, self.entropy_tokens) / scale)
