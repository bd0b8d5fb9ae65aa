"""Performance profiles (Agarwal et al. 2021, from Dolan & Moré 2002).

Shape suffixes: S runs, one per seed; E environments; T thresholds.
"""

import numpy as np
from numpy.typing import ArrayLike

from reports.stats.intervals import Floats, Interval, finite, share_interval


def performance_profile(scores_SE: ArrayLike, thresholds_T: ArrayLike) -> Floats:
    """Share of runs that score above each threshold, the mean over environments (T)."""
    scores_TSE = np.asarray(scores_SE, dtype=float)[None]
    above_TSE = scores_TSE > np.asarray(thresholds_T, dtype=float)[:, None, None]
    return np.asarray(above_TSE.mean(axis=(1, 2)), dtype=float)


def profile_intervals(scores_S: ArrayLike, thresholds_T: ArrayLike) -> list[Interval]:
    """One environment's profile with Clopper-Pearson's interval at each threshold (pointwise)."""
    scores = finite(scores_S)
    return [
        share_interval(int((scores > threshold).sum()), len(scores))
        for threshold in np.asarray(thresholds_T, dtype=float)
    ]
