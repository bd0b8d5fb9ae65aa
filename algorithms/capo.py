"""CAPO (arXiv 2604.18401 v5, StepPO renamed): step GAE and the centred 1/sqrt(L) ratio.

No public code holds this ratio: it is the paper's, log rho_t = mu + sum_i (z_i - mu) / sqrt(L_t), with z a
token's log-ratio and mu its mean over the mini-batch, not differentiated. Clip 1e-3 is the paper's; the rest
is the released script's.
"""

from dataclasses import dataclass
from typing import ClassVar

from algorithms.factors import KLEstimator, RatioUnit
from algorithms.steppo import StepPO


@dataclass(frozen=True, kw_only=True)
class CAPO(StepPO):
    """Critic-guided action-aligned policy optimisation."""

    name: ClassVar[str] = "capo"

    ratio_unit: RatioUnit = RatioUnit.step_sqrt
    clip_low: float = 1e-3
    clip_high: float = 1e-3
    kl_estimator: KLEstimator = KLEstimator.k3
    kl_coef: float = 0.001
