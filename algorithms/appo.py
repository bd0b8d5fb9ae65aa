"""APPO (arXiv 2606.12384): branch where the policy hesitates and is changing its mind, train the roots.

The paper's equations with the gaps closed as `docs/algorithms/appo.md` says. Defaults: the paper's M=16, N=4,
B=3, b=0.5, half-life 32; clip and dual clip are the scripts', as the paper gives none.

Shape suffixes: T tokens, N trajectories; L tokens of one trajectory.
"""

from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Algorithm, BranchPoint, Computes, Credit, RolloutPlan
from algorithms.factors import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    Aggregation,
    Baseline,
    CreditUnit,
    Equations,
    KLPlace,
    NormaliseUnit,
    Ranges,
    RatioUnit,
)
from algorithms.shared.groups import beyond_rounding, largest, reward_size, z_scores
from algorithms.shared.returns import suffix_sums
from harness.errors import UserError
from harness.records.batch import Batch

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
SCORE_CLIP = (0.8, 1.2)
FUTURE_CLIP = (1.0, 1.2)
LARGEST_Z = 10.0
"""Of a reward against a group that it is not a member of, which is unbounded: a root that pays 1 is 20,000
standard deviations away from branches that pay 0 and 0.0001. Among 100 rewards no member's is above 10."""


class Gain(Enum):
    """Which two policies the likelihood gain of the Branching Score compares."""

    minibatch = "minibatch"
    lagged = "lagged"
    engine = "engine"


class Score(Enum):
    """What ranks the tokens to branch from."""

    branching = "branching"
    entropy = "entropy"


@dataclass(frozen=True, kw_only=True)
class APPO(Algorithm):
    """Agentic procedural policy optimisation."""

    name: ClassVar[str] = "appo"
    computes: ClassVar[Computes] = {
        "credit_unit": (CreditUnit.trajectory,),
        "baseline": (Baseline.group_mean,),
        "normalise_unit": (NormaliseUnit.trajectories_of_group,),
        # A KL would set the rewards of all trajectories apart by next to nothing, and eq. 6 divide by that.
        "kl_place": (KLPlace.loss,),
    }
    reads: ClassVar[tuple[str, ...]] = ("logprob_T", "current_logprob_T")
    ranges: ClassVar[Ranges] = {
        **Algorithm.ranges,
        "roots": COUNT,
        "future_weight": NOT_NEGATIVE,
        "half_life": POSITIVE,
    }

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
    gain: Gain = Gain.minibatch
    """`minibatch` (the paper): the mini-batch's policy against the one that sampled; branches before every
    mini-batch. `lagged`: the one that sampled against the one an iteration earlier; branches once.
    `engine` (the released code): the trainer's log-probabilities against the engine's, same weights; with
    the embedded engine that is rounding noise."""
    score: Score = Score.branching
    """`branching`: eq. 5. `entropy`: Z(entropy) alone (the paper's ablation BS -> Ent.)."""
    dual_group: bool = True
    """Whether a reward is standardised against its task's roots and against its branches, the mean of both
    (eq. 6); if not, once against all of them (the paper's ablation w/o Dual-group)."""
    equations: Equations = Equations.paper
    """`paper`: eq. 6, the mean of two standardisations. `released`: the roots' z-score plus, up to each
    branch point, the mean z-score of the branches that left there or later."""
    keep_split_token: bool = False
    """Whether a branch keeps the chosen token (the released code) instead of sampling it again (Alg. 1); the
    last token of a response is sampled again in any case."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rollouts % self.roots:
            raise UserError(
                f"algorithm.rollouts={self.rollouts} must be a multiple of algorithm.roots={self.roots}"
            )
        if self.score is Score.entropy and self.gain is not Gain.minibatch:
            raise UserError(
                f"algorithm.gain={self.gain.value} clashes with algorithm.score=entropy, which has no gain: "
                "choose gain=minibatch, or score=branching"
            )
        if not self.dual_group and self.equations is Equations.released:
            raise UserError(
                "algorithm.dual_group=false clashes with algorithm.equations=released, whose groups are two: "
                "choose equations=paper, or dual_group=true"
            )

    def plan(self) -> RolloutPlan:
        """N roots and M - N branches."""
        reads = "previous_logprob_T" if self.gain is Gain.lagged else "current_logprob_T"
        branches = self.rollouts - self.roots
        return RolloutPlan(
            roots=self.roots,
            branches=branches,
            each_minibatch=branches > 0 and self.gain is Gain.minibatch,
            reads=(reads,) if branches else (),
        )

    def select_branches(self, batch: Batch, turn: int, random: np.random.Generator) -> list[BranchPoint]:
        """The top B tokens of each root by Branching Score (eq. 5), under the strict rule."""
        gain_T = self.branching_gain(batch)
        each = self.rollouts // self.roots - 1
        points = []
        for trajectory, start in enumerate(batch.first_token_N):
            span = slice(start, start + batch.tokens_N[trajectory])
            chosen = select_tokens(gain_T[span], batch.entropy_T[span], batch.choice_T[span], each)
            for token in chosen:
                step = batch.step_T[start + token]
                within = start + token - batch.first_token_S[step]
                if self.keep_split_token and within + 1 < batch.tokens_S[step]:
                    within += 1
                points.append(
                    BranchPoint(trajectory, int(step - batch.first_step_N[trajectory]), int(within))
                )
        return points

    def branching_gain(self, batch: Batch) -> Floats:
        """The gain (T,) in the Branching Score; without any, 1 everywhere, the score is the entropy."""
        if self.score is Score.entropy:
            return np.ones(len(batch.logprob_T))
        later_T = batch.logprob_T if self.gain is Gain.lagged else batch.current_logprob_T
        earlier_T = batch.previous_logprob_T if self.gain is Gain.lagged else batch.logprob_T
        return self.likelihood_gain(batch, later_T, earlier_T, SCORE_CLIP)

    def credit(self, batch: Batch) -> Credit:
        """A = A_base (1 + b A_fut) on the roots (eq. 6 and 7); branches only lend their rewards."""
        base_T = self.base_advantage(batch)
        future_T = self.future(batch)
        root_T = batch.root_N[batch.trajectory_T]
        advantage_T = np.where(root_T, base_T * (1.0 + self.future_weight * future_T), 0.0)
        branch_rewards = batch.reward_N[~batch.root_N]
        return Credit(
            advantage_T=advantage_T,
            trained_N=batch.root_N,
            diagnostics={
                "advantage_std": float(advantage_T[root_T].std()),
                "future_gain": float(future_T[root_T].mean()),
                "branch_reward": float(branch_rewards.mean()) if len(branch_rewards) else 0.0,
            },
        )

    def base_advantage(self, batch: Batch) -> Floats:
        """A_base of every token."""
        if not self.dual_group:
            return z_scores(batch.reward_N, batch.group_N, reward_size(batch))[batch.trajectory_T]
        if self.equations is Equations.paper:
            return dual_group_advantage(batch)[batch.trajectory_T]
        return prefix_local_advantage(batch, keep_split_token=self.keep_split_token)

    def future(self, batch: Batch) -> Floats:
        """A_fut (eq. 7) of every token: the current policy's gain to the rollout's end."""
        return self.likelihood_gain(batch, batch.current_logprob_T, batch.logprob_T, FUTURE_CLIP)

    def likelihood_gain(
        self, batch: Batch, later_T: Floats | None, earlier_T: Floats | None, clip: tuple[float, float]
    ) -> Floats:
        """Eq. 4 between two policies."""
        assert later_T is not None, "needs log-probabilities of a later policy (Batch.current_logprob_T)"
        assert earlier_T is not None, "needs log-probabilities of an earlier policy"
        return future_value(later_T - earlier_T, batch.tokens_N, 2 ** (-1 / self.half_life), *clip)


@dataclass(frozen=True, kw_only=True)
class APPOConstant(APPO):
    """Control: the future-aware term at its floor, a constant gain of 1 + b on every token."""

    name: ClassVar[str] = "appo_constant"
    control: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ()

    def future(self, batch: Batch) -> Floats:
        """1 everywhere."""
        return np.ones(len(batch.logprob_T))


@dataclass(frozen=True, kw_only=True)
class APPOFuture(APPO):
    """Control: the future-aware term without branching (FIPO, arXiv 2603.19835, with APPO's 1 + b f)."""

    name: ClassVar[str] = "appo_future"
    control: ClassVar[bool] = True

    roots: int = 16


def future_value(delta_T: Floats, tokens_N: Ints, gamma: float, low: float, high: float) -> Floats:
    """Eq. 4: exp of the discounted sum of log-ratios from token i to the rollout's end, clipped."""
    return np.clip(np.exp(np.clip(suffix_sums(delta_T, tokens_N, gamma), -20, 20)), low, high)


def z_score(x_L: Floats) -> Floats:
    """Population z-score over all elements; all zeros if nothing varies."""
    return z_scores(x_L, np.zeros(len(x_L), dtype=np.int64))


def branching_score(gain_L: Floats, entropy_L: Floats) -> Floats:
    """Eq. 5: Z(clipped gain) x Z(entropy) inside one rollout; Z(entropy) if the gain is constant.

    The fallback is needed in the first mini-batch of an iteration, whose policy is the one that sampled.
    """
    z_gain_L, z_entropy_L = z_score(gain_L), z_score(entropy_L)
    return z_gain_L * z_entropy_L if z_gain_L.any() else z_entropy_L


def select_tokens(gain_L: Floats, entropy_L: Floats, choice_L: Bools, count: int) -> list[int]:
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


def dual_group_advantage(batch: Batch) -> Floats:
    """Eq. 6, (N,): the mean of a trajectory's z-scores against its task's roots and against its branches.

    Population std; a reference group without spread contributes 0, one without members does not count.
    """
    total_N, references_N = np.zeros(len(batch.steps_N)), np.zeros(len(batch.steps_N))
    for reference_N in (batch.root_N, ~batch.root_N):
        z_N, exists_N = z_against(batch, reference_N)
        total_N += z_N
        references_N += exists_N
    return total_N / references_N


def z_against(batch: Batch, reference_N: Bools) -> tuple[Floats, Bools]:
    """Each trajectory's z-score among the reference trajectories of its task, and whether there are any.

    At most `LARGEST_Z` in size; 0 if the references' rewards do not differ.
    """
    _, index_N = np.unique(batch.group_N, return_inverse=True)
    groups, mine_N = int(index_N.max()) + 1, index_N[reference_N]
    members_G = np.bincount(mine_N, minlength=groups)
    count_G = np.maximum(members_G, 1)
    mean_G = np.bincount(mine_N, batch.reward_N[reference_N], groups) / count_G
    size_N = largest(reward_size(batch), index_N)
    centred_N = beyond_rounding(batch.reward_N - mean_G[index_N], size_N)
    std_N = np.sqrt(np.bincount(mine_N, centred_N[reference_N] ** 2, groups) / count_G)[index_N]
    z_N = np.where(std_N > 0, centred_N / np.where(std_N > 0, std_N, 1.0), 0.0)
    return np.clip(z_N, -LARGEST_Z, LARGEST_Z), (members_G > 0)[index_N]


def prefix_local_advantage(batch: Batch, *, keep_split_token: bool) -> Floats:
    """The released code's A_base: z-score among the roots, plus for token t the mean z-score (among the
    task's branches) of the root's own branches that left at t or later.
    """
    z_N, size_N = np.zeros(len(batch.reward_N)), reward_size(batch)
    for kind_N in (batch.root_N, ~batch.root_N):
        z_N[kind_N] = z_scores(batch.reward_N[kind_N], batch.group_N[kind_N], size_N[kind_N])
    total_T, count_T = np.zeros(len(batch.logprob_T)), np.zeros(len(batch.logprob_T))
    for branch in np.flatnonzero(~batch.root_N):
        parent = batch.parent_N[branch]
        step = batch.first_step_N[parent] + batch.branch_step_N[branch]
        split = batch.first_token_S[step] + batch.branch_token_N[branch] - keep_split_token
        span = slice(batch.first_token_N[parent], split + 1)
        total_T[span] += z_N[branch]
        count_T[span] += 1
    return z_N[batch.trajectory_T] + total_T / np.maximum(count_T, 1)
