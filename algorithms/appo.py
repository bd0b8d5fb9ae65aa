"""APPO (arXiv 2606.12384): branch where the policy hesitates and is changing its mind, train the roots.

The paper's equations with the gaps closed as `docs/decisions.md` says; `gain=minibatch` throughout: the
likelihood gain compares the current mini-batch's policy with the one that sampled the roots.
Defaults: the paper's M=16, N=4, B=3, b=0.5, half-life 32; clip and dual clip are the scripts', as the paper
gives none.

Shape suffixes: T tokens, N trajectories; L tokens of one trajectory.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.base import (
    Aggregation,
    Algorithm,
    Baseline,
    BranchPoint,
    Credit,
    CreditUnit,
    NormaliseUnit,
    RatioUnit,
    RolloutPlan,
)
from algorithms.shared.returns import suffix_sums
from harness.errors import UserError
from harness.records.batch import Batch

Floats = NDArray[np.float64]
SCORE_CLIP = (0.8, 1.2)
FUTURE_CLIP = (1.0, 1.2)


@dataclass(frozen=True, kw_only=True)
class APPO(Algorithm):
    """Agentic procedural policy optimisation."""

    name: ClassVar[str] = "appo"
    baselines: ClassVar[tuple[Baseline, ...]] = (Baseline.group_mean,)

    credit_unit: CreditUnit = CreditUnit.trajectory
    baseline: Baseline = Baseline.group_mean
    normalise_unit: NormaliseUnit = NormaliseUnit.trajectories_of_group
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.seq_mean_token_mean
    clip_high: float = 0.28
    dual_clip: float = 3.0
    rollouts: int = 16
    roots: int = 4
    """Initial rollouts N of a task; the other rollouts branch from them, equally many from each."""
    future_weight: float = 0.5
    """Weight b of the future-aware term."""
    half_life: float = 32.0
    """Tokens after which a later token's likelihood gain counts half."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.roots < 1 or self.rollouts <= self.roots or self.rollouts % self.roots:
            raise UserError(
                f"algorithm.roots={self.roots} must be at least 1, and algorithm.rollouts={self.rollouts} a "
                "larger multiple of it"
            )

    def plan(self) -> RolloutPlan:
        """N roots and M - N branches."""
        return RolloutPlan(roots=self.roots, branches=self.rollouts - self.roots)

    def select_branches(self, batch: Batch) -> list[BranchPoint]:
        """The top B tokens of each root by Branching Score (eq. 5), under the strict rule."""
        gain_T = self._gain(batch, *SCORE_CLIP)
        each = self.rollouts // self.roots - 1
        start_N = np.cumsum(batch.tokens_N) - batch.tokens_N
        first_step_N = np.cumsum(batch.steps_N) - batch.steps_N
        points = []
        for trajectory, start in enumerate(start_N):
            span = slice(start, start + batch.tokens_N[trajectory])
            chosen = select_tokens(gain_T[span], batch.entropy_T[span], batch.choice_T[span], each)
            for token in chosen:
                step = batch.step_T[start + token]
                within = start + token - batch.first_token_S[step]
                points.append(BranchPoint(trajectory, int(step - first_step_N[trajectory]), int(within)))
        return points

    def credit(self, batch: Batch) -> Credit:
        """A = A_base (1 + b A_fut) on the roots (eq. 6 and 7); branches only lend their rewards."""
        base_N = dual_group_advantage(batch.reward_N, batch.group_N, batch.root_N)
        future_T = self._gain(batch, *FUTURE_CLIP)
        base_T = base_N[batch.trajectory_S][batch.step_T]
        advantage_T = base_T * (1.0 + self.future_weight * future_T)
        root_T = batch.root_N[batch.trajectory_S][batch.step_T]
        return Credit(
            advantage_T=np.where(root_T, advantage_T, 0.0),
            trained_N=batch.root_N,
            diagnostics={
                "advantage_std": float(advantage_T[root_T].std()),
                "future_gain": float(future_T[root_T].mean()),
                "branch_reward": float(batch.reward_N[~batch.root_N].mean())
                if (~batch.root_N).any()
                else 0.0,
            },
        )

    def _gain(self, batch: Batch, low: float, high: float) -> Floats:
        if batch.current_logprob_T is None:
            raise ValueError("APPO needs the current policy's log-probabilities (Batch.current_logprob_T)")
        delta_T = batch.current_logprob_T - batch.logprob_T
        return future_value(delta_T, batch.tokens_N, 2 ** (-1 / self.half_life), low, high)


def future_value(
    delta_T: Floats, tokens_N: NDArray[np.int64], gamma: float, low: float, high: float
) -> Floats:
    """Eq. 4: exp of the discounted sum of log-ratios from token i to the rollout's end, clipped."""
    return np.clip(np.exp(np.clip(suffix_sums(delta_T, tokens_N, gamma), -20, 20)), low, high)


def z_score(x_L: Floats) -> Floats:
    """Population z-score; all zeros where nothing varies."""
    spread = x_L.std()
    return (x_L - x_L.mean()) / spread if spread > 1e-12 else np.zeros_like(x_L)


def branching_score(gain_L: Floats, entropy_L: Floats) -> Floats:
    """Eq. 5: Z(clipped gain) x Z(entropy) inside one rollout; Z(entropy) where the gain is constant.

    The fallback is needed in the first mini-batch of an iteration, whose policy is the one that sampled.
    """
    z_gain_L, z_entropy_L = z_score(gain_L), z_score(entropy_L)
    return z_gain_L * z_entropy_L if z_gain_L.any() else z_entropy_L


def select_tokens(gain_L: Floats, entropy_L: Floats, choice_L: NDArray[np.bool_], count: int) -> list[int]:
    """The `count` best branch tokens of one rollout.

    Strict rule: gain and entropy both above their means, so that a product of two negatives never wins.
    When too few qualify, the rest are filled by entropy, and when the rollout is shorter than `count`, the
    order is gone through again: a second continuation from one prefix is still a new sample.
    """
    z_gain_L, z_entropy_L = z_score(gain_L), z_score(entropy_L)
    score_L = branching_score(gain_L, entropy_L)
    strict_L = choice_L & (z_entropy_L > 0) & ((z_gain_L > 0) | ~z_gain_L.any())
    best = [i for i in np.argsort(-score_L, kind="stable") if strict_L[i]]
    rest = [i for i in np.argsort(-z_entropy_L, kind="stable") if choice_L[i] and not strict_L[i]]
    order = [int(i) for i in best + rest] or [0]
    return [order[i % len(order)] for i in range(count)]


def dual_group_advantage(reward_N: Floats, group_N: NDArray[np.int64], root_N: NDArray[np.bool_]) -> Floats:
    """Eq. 6: the mean of a trajectory's z-scores against its task's roots and against its task's branches.

    Population std; a reference group without spread (or without members) contributes 0.
    """
    advantage_N = np.zeros(len(reward_N))
    for group in np.unique(group_N):
        members = group_N == group
        for reference in (reward_N[members & root_N], reward_N[members & ~root_N]):
            if len(reference) and reference.std() > 1e-12:
                advantage_N[members] += (reward_N[members] - reference.mean()) / reference.std() / 2
    return advantage_N
