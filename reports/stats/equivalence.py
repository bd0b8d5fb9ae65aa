"""Equivalence: two one-sided tests (TOST, Schuirmann 1987) against a smallest effect of interest.

Shape suffixes: K comparisons, S seeds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from reports.stats.intervals import Floats, finite
from reports.stats.sign_flip import above_ps

SESOI = 0.05
"""Smallest effect size of interest: a difference in success. To be declared before the sweep runs."""


def equivalence_p(differences_S: ArrayLike, sesoi: float = SESOI) -> float:
    """p for |mean difference| >= `sesoi`; small: the arms are equivalent. NaN without seeds.

    The larger of two one-sided sign-flip tests, of the differences moved by `sesoi` either way. With
    Student's t in their place (statsmodels' `ttost_paired`), two arms at a success of 1 would be equivalent
    after two seeds, as their differences do not spread; here n seeds never give less than 2^-n.
    """
    return float(equivalence_ps([differences_S], sesoi)[0])


def equivalence_ps(differences_KS: Sequence[ArrayLike], sesoi: float) -> Floats:
    """`equivalence_p` of each of K comparisons."""
    if sesoi <= 0:
        raise ValueError(f"sesoi is {sesoi:g}: a smallest effect of interest is above 0")
    found = [finite(each) for each in differences_KS]
    tail_2K = above_ps([*found, *(-each for each in found)], -sesoi)
    return np.asarray(np.maximum(tail_2K[: len(found)], tail_2K[len(found) :]), dtype=float)
