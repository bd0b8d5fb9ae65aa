"""Steps that left the same state: what GiGPO, HGPO and GraphGPO compare."""

from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from algorithms.base import Computes
from algorithms.factors import (
    Aggregation,
    Baseline,
    CreditUnit,
    KLEstimator,
    NormaliseUnit,
    Range,
    Ranges,
    RatioUnit,
)
from algorithms.shared.episode import GroupMethod
from harness.records.batch import Batch


@dataclass(frozen=True, kw_only=True)
class AnchorMethod(GroupMethod):
    """verl-agent's ALFWorld setting: gamma 0.95, mean_std_norm, 8 rollouts, k3 KL 0.01, entropy 0.001."""

    computes: ClassVar[Computes] = {"baseline": (Baseline.state_group_mean,)}
    ranges: ClassVar[Ranges] = {**GroupMethod.ranges, "similarity": Range(least=0, most=1, open=True)}

    credit_unit: CreditUnit = CreditUnit.step
    baseline: Baseline = Baseline.state_group_mean
    normalise_unit: NormaliseUnit = NormaliseUnit.steps_of_state_group
    ratio_unit: RatioUnit = RatioUnit.token
    aggregation: Aggregation = Aggregation.token_mean
    gamma: float = 0.95
    dual_clip: float = 3.0
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.01
    entropy_coef: float = 0.001
    rollouts: int = 8
    similarity: float = 1.0
    """Below 1: steps share an anchor when their observations are at least this alike
    (`difflib.SequenceMatcher`), whatever their states; 1: when their states are equal."""

    @property
    def columns(self) -> frozenset[str]:
        """Observations for similar anchors, states for exact ones."""
        return super().columns | {"state_S" if self.similarity == 1 else "observation_S"}

    def anchors(self, batch: Batch) -> NDArray[np.int64]:
        """The code (S,) of each step's anchor."""
        return batch.state_S if self.similarity == 1 else similar_anchors(batch, self.similarity)


def similar_anchors(batch: Batch, threshold: float) -> NDArray[np.int64]:
    """Codes (S,) of greedy clusters: a text joins the first cluster whose first member is alike enough.

    Texts of a group are taken in alphabetical order, so that the order of rows does not matter (the released
    code takes them as they come). Quadratic in the number of distinct texts.
    """
    assert batch.observation_S is not None, "similar anchors need observations (Batch.observation_S)"
    keys = list(zip(batch.group_S.tolist(), batch.observation_S, strict=True))
    code_of: dict[tuple[int, str], int] = {}
    leaders: dict[int, list[str]] = {}
    for group, text in sorted(set(keys)):
        mine = leaders.setdefault(group, [])
        leader = next((each for each in mine if alike(each, text, threshold)), text)
        if leader is text:
            mine.append(text)
        code_of[group, text] = code_of.get((group, leader), len(code_of))
    return np.array([code_of[key] for key in keys], dtype=np.int64)


def alike(one: str, other: str, threshold: float) -> bool:
    """Whether SequenceMatcher's ratio reaches the threshold; its cheap upper bounds are asked first."""
    matcher = SequenceMatcher(None, one, other)
    return all(
        bound() >= threshold for bound in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio)
    )
