"""Statistics on training runs. Pure functions: numbers in, numbers out; nothing is read, drawn or worded.

`docs/statistics.md` says what each is for, how it was calibrated, and what it cannot do.
"""

from reports.stats.curves import area, at_fractions, budget_to_threshold, collapse_rate, collapsed
from reports.stats.decisions import Statement, Verdict, statement, verdict, verdicts
from reports.stats.equivalence import SESOI, equivalence_p
from reports.stats.factorial import Fit
from reports.stats.intervals import (
    CONFIDENCE,
    Floats,
    Interval,
    iqm,
    iqm_interval,
    median_interval,
    over_environments,
    rate_interval,
    share_interval,
    t_interval,
)
from reports.stats.models import mixed_model, success_model
from reports.stats.multiplicity import ALPHA, benjamini_hochberg, holm, holm_shared, seeds_needed
from reports.stats.pairs import (
    Paired,
    paired,
    paired_improvement,
    probability_of_improvement,
    standardised,
)
from reports.stats.power import (
    MOST_SEEDS,
    POWER,
    detectable,
    power_at,
    sd_factors,
    seeds_for,
    smallest_effects,
)
from reports.stats.profiles import performance_profile, profile_intervals
from reports.stats.runs import FAILED_SCORE, Completed, intention_to_treat
from reports.stats.scaling import Scaling, scaling_fit
from reports.stats.sign_flip import EXACT_SEEDS, RESAMPLES, above_p, sign_flip_p, sign_flip_ps, smallest_p
from reports.stats.survival import Survival, kaplan_meier, restricted_mean

__all__ = [
    "ALPHA",
    "CONFIDENCE",
    "EXACT_SEEDS",
    "FAILED_SCORE",
    "MOST_SEEDS",
    "POWER",
    "RESAMPLES",
    "SESOI",
    "Completed",
    "Fit",
    "Floats",
    "Interval",
    "Paired",
    "Scaling",
    "Statement",
    "Survival",
    "Verdict",
    "above_p",
    "area",
    "at_fractions",
    "benjamini_hochberg",
    "budget_to_threshold",
    "collapse_rate",
    "collapsed",
    "detectable",
    "equivalence_p",
    "holm",
    "holm_shared",
    "intention_to_treat",
    "iqm",
    "iqm_interval",
    "kaplan_meier",
    "median_interval",
    "mixed_model",
    "over_environments",
    "paired",
    "paired_improvement",
    "performance_profile",
    "power_at",
    "probability_of_improvement",
    "profile_intervals",
    "rate_interval",
    "restricted_mean",
    "scaling_fit",
    "sd_factors",
    "seeds_for",
    "seeds_needed",
    "share_interval",
    "sign_flip_p",
    "sign_flip_ps",
    "smallest_effects",
    "smallest_p",
    "standardised",
    "statement",
    "success_model",
    "t_interval",
    "verdict",
    "verdicts",
]
