"""GSPO (arXiv 2507.18071): GRPO's advantage under one ratio a sequence, the geometric mean of its tokens'.

A sequence is the whole trajectory, as in the paper. StepPO's and verl-agent's codes train one row per step,
so that their GSPO clips steps: `ratio_unit=step aggregation=step_mean`. Clip 0.2 and k3 KL 0.001 are StepPO's
scripts' (HotpotQA); the paper's 3e-4/4e-4 belongs to a learning rate of 1e-6.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.factors import Aggregation, RatioUnit
from algorithms.grpo import GRPO


@dataclass(frozen=True, kw_only=True)
class GSPO(GRPO):
    """Group sequence policy optimisation."""

    name: ClassVar[str] = "gspo"

    ratio_unit: RatioUnit = RatioUnit.sequence
    aggregation: Aggregation = Aggregation.seq_mean_token_mean
    dual_clip: float = 0.0
    kl_coef: float = 0.001
    entropy_coef: float = 0.0
