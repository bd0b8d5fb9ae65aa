"""The statistics are wrong as often as they say: the simulations of benchmarks/calibration.py, smaller.

Tolerances are four standard errors of the simulation or more. docs/statistics.md has the large tables.
"""

import math

import pytest

from benchmarks import calibration
from reports import stats

SWEEPS = 2000
NOISE = 3 * math.sqrt(0.05 * 0.95 / SWEEPS)
"""Three standard errors of an error rate that is .05."""


@pytest.mark.parametrize(
    ("seeds", "family", "collapses"),
    [(9, "step against others", 0.15), (10, "all pairs", 0.15), (20, "step against others", 0.15)],
)
def test_verdicts_are_rarely_wrong_where_all_arms_are_equal(seeds, family, collapses):
    """Strong seed effects, 15 % collapses; sign flips are exact, so collapses cost nothing."""
    made = calibration.sweeps(SWEEPS, seeds, collapses=collapses)
    assert calibration.family_wise_errors(made, calibration.FAMILIES[family]) <= 0.05 + NOISE


def test_false_equivalences_and_false_differences_share_the_five_percent():
    """Of six comparisons three do not differ, three differ by exactly a SESOI: both can be misjudged.

    With a Holm for each question the two kinds of error add up beyond 5 %.
    """
    shift = calibration.MIXED_SHIFT
    errors = {
        together: calibration.family_wise_errors(
            calibration.sweeps(SWEEPS, 14, shift, calibration.MIXED_SD, collapses=0.0),
            calibration.DISJOINT,
            shift,
            together,
        )
        for together in (True, False)
    }
    assert errors[True] <= 0.05 + NOISE
    assert errors[False] > 0.05 + NOISE


@pytest.mark.parametrize("seeds", [3, 6, 10, 20])
def test_t_intervals_cover_95_percent_of_normal_runs(seeds):
    assert 0.93 <= calibration.coverage("Student's t", seeds, SWEEPS) <= 0.97


@pytest.mark.parametrize("seeds", [6, 10, 20])
def test_iqm_and_median_intervals_cover_normal_runs(seeds):
    assert 0.92 <= calibration.coverage("IQM, Yuen's t", seeds, 800) <= 0.97
    assert 0.94 <= calibration.coverage("median, order statistics", seeds, 800) <= 0.99


@pytest.mark.parametrize("seeds", [3, 10])
def test_rliables_bootstrap_does_not_cover_where_a_run_is_scored_in_many_environments(seeds):
    assert calibration.coverage("rliable's stratified bootstrap", seeds, 400) < 0.6
    assert calibration.coverage("percentile bootstrap", 5, 400) < 0.9


def test_power_for_one_sd_at_ten_seeds():
    """80 % for one comparison, 18 % for one of fifteen: as predicted."""
    for comparisons, stated in ((1, 0.80), (15, 0.18)):
        found = calibration.power(1.0, 10, comparisons, SWEEPS)
        assert found == pytest.approx(stats.power_at(1.0, 10, comparisons, 0.05), abs=0.04)
        assert found == pytest.approx(stated, abs=0.04)


def test_equivalence_is_rarely_claimed_at_the_edge_and_often_at_zero():
    assert calibration.equivalent(stats.SESOI, 0.03, 10, SWEEPS) <= 0.05 + NOISE
    assert calibration.equivalent(0.0, 0.03, 10, SWEEPS) > 0.9


def test_models_find_no_effects_where_there_are_none():
    """60 sweeps: .05 has a standard error of .03."""
    assert max(calibration.false_effects(6, 0.0, 60).values()) <= 0.13


def test_the_mixed_model_needs_effects_that_do_not_differ_from_seed_to_seed():
    shares = calibration.false_effects(10, 0.1, 40)
    assert shares["mixed model"] > 0.2
    assert max(shares["binomial GEE"], shares["sign-flip"]) <= 0.15
