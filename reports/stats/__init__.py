"""Statistics on training runs. Pure functions: numbers in, numbers out; nothing is read, drawn or worded.

`docs/statistics.md` says what each is for, how it was calibrated, and what it cannot do.
"""

from reports.stats.collapses import Collapses, collapses, rate_at_most
from reports.stats.curves import area, at_fractions, budget_to_threshold, collapse_rate, collapsed
from reports.stats.decisions import Sides, Verdict, Word, p_values, two_arms, usually_p, verdicts, word
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
from reports.stats.mean_bound import lower_bound, not_above_p
from reports.stats.models import mixed_model, success_model
from reports.stats.multiplicity import ALPHA, benjamini_hochberg, holm, holm_shared
from reports.stats.pairs import (
    Paired,
    paired,
    paired_improvement,
    probability_of_improvement,
    standardised,
)
from reports.stats.power import (
    CAUTIOUS,
    MOST_SEEDS,
    POWER,
    SESOI,
    WIDEST,
    Outlook,
    outlook,
    power_at,
    sd_bound,
    sd_factors,
    seeds_for,
    smallest_effects,
)
from reports.stats.profiles import performance_profile, profile_intervals
from reports.stats.runs import (
    ALGORITHM,
    FAILED_SCORE,
    INFRASTRUCTURE,
    Completed,
    broken_by_algorithm,
    intention_to_treat,
)
from reports.stats.scaling import Scaling, scaling_fit
from reports.stats.sign_flip import EXACT_SEEDS, RESAMPLES, above_p, sign_flip_p, sign_flip_ps
from reports.stats.sign_test import Counts, rounded, sign_test_p, votes, wins_needed, won_and_lost
from reports.stats.survival import Survival, kaplan_meier, restricted_mean

__all__ = [
    "ALGORITHM",
    "ALPHA",
    "CAUTIOUS",
    "CONFIDENCE",
    "EXACT_SEEDS",
    "FAILED_SCORE",
    "INFRASTRUCTURE",
    "MOST_SEEDS",
    "POWER",
    "RESAMPLES",
    "SESOI",
    "WIDEST",
    "Collapses",
    "Completed",
    "Counts",
    "Fit",
    "Floats",
    "Interval",
    "Outlook",
    "Paired",
    "Scaling",
    "Sides",
    "Survival",
    "Verdict",
    "Word",
    "above_p",
    "area",
    "at_fractions",
    "benjamini_hochberg",
    "broken_by_algorithm",
    "budget_to_threshold",
    "collapse_rate",
    "collapsed",
    "collapses",
    "holm",
    "holm_shared",
    "intention_to_treat",
    "iqm",
    "iqm_interval",
    "kaplan_meier",
    "lower_bound",
    "median_interval",
    "mixed_model",
    "not_above_p",
    "outlook",
    "over_environments",
    "p_values",
    "paired",
    "paired_improvement",
    "performance_profile",
    "power_at",
    "probability_of_improvement",
    "profile_intervals",
    "rate_at_most",
    "rate_interval",
    "restricted_mean",
    "rounded",
    "scaling_fit",
    "sd_bound",
    "sd_factors",
    "seeds_for",
    "share_interval",
    "sign_flip_p",
    "sign_flip_ps",
    "sign_test_p",
    "smallest_effects",
    "standardised",
    "success_model",
    "t_interval",
    "two_arms",
    "usually_p",
    "verdicts",
    "votes",
    "wins_needed",
    "won_and_lost",
    "word",
]
