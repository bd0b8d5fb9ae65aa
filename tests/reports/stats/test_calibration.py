"""The statistics are wrong as often as they say: the simulations of benchmarks/calibration.py, smaller.

Tolerances are three standard errors of the simulation or more. docs/statistics.md has the large tables.
"""

import math

import numpy as np
import pytest

from benchmarks import calibration, shapes
from benchmarks.shapes import sign_flips, two_grades
from reports import stats

FEW = 300


def noise(families: int) -> float:
    """Three standard errors of an error rate that is .05."""
    return 3 * math.sqrt(0.05 * 0.95 / families)


@pytest.mark.parametrize("shape", shapes.SHAPES)
def test_words_are_rarely_false_in_any_shape(shape):
    for seeds in (6, 10):
        assert shapes.level(shape, two_grades, seeds, FEW) <= 0.05 + noise(FEW)


@pytest.mark.parametrize(
    ("shape", "seeds"),
    [
        ("equal means, collapses 1/12", 10),
        ("equal means, rare success 1/10", 7),
        ("equal typical runs, collapses 1/12", 6),
        ("collapses on hard seeds alone", 10),
    ],
)
def test_sign_flips_of_the_mean_are_often_false_where_one_arm_collapses_more(shape, seeds):
    """It must be seen to fail where the two grades hold, or the test above shows nothing."""
    assert shapes.level(shape, sign_flips, seeds, FEW) > 0.15


@pytest.mark.parametrize("shape", ["equal means, collapses 1/12", "both collapse, 15 %"])
def test_words_of_nine_comparisons_are_rarely_false(shape):
    assert shapes.level(shape, two_grades, 10, FEW // 3, comparisons=9) <= 0.05 + noise(FEW // 3)


@pytest.mark.parametrize("shape", ["3 against 1, 15 % collapses", "5 against 1, 15 % collapses"])
def test_sides_of_unequal_size_keep_the_level(shape):
    """All arms are exchangeable. Sign flips of the sides' means say too much."""
    assert shapes.level(shape, two_grades, 10, 600) <= 0.05 + noise(600)
    assert shapes.level(shape, sign_flips, 10, 600) > 0.065


def test_the_two_leading_comparisons_share_their_level():
    assert shapes.equal_cards(shapes.COLLAPSING, two_grades, 10, 600) <= 0.05 + noise(600)


def test_what_is_known_of_the_shapes():
    assert shapes.known("equal means, collapses 1/10").mean == 0
    assert shapes.known("equal means, collapses 1/10").usual > 0.4
    assert shapes.known("equal typical runs, collapses 1/12").mean == pytest.approx(0.05, abs=0.002)
    assert shapes.known("equal typical runs, collapses 1/12").alike
    assert shapes.known("collapses on hard seeds alone").mean == 0
    equal = shapes.known("both collapse, 15 %")
    assert (equal.mean, equal.usual) == (0, 0)


@pytest.mark.parametrize(
    ("seeds", "family", "collapses"), [(9, "step against others", 0.15), (10, "all pairs", 0.15)]
)
def test_verdicts_are_rarely_wrong_where_all_arms_are_equal(seeds, family, collapses):
    made = calibration.sweeps(FEW, seeds, collapses=collapses)
    errors = calibration.family_wise_errors(made, calibration.FAMILIES[family], two_grades)
    assert errors <= 0.05 + noise(FEW)


def test_differences_and_likeness_share_the_five_percent():
    """Of six comparisons three do not differ, three differ by exactly a SESOI: both can be misjudged."""
    made = calibration.sweeps(FEW, 14, calibration.MIXED_SHIFT, calibration.MIXED_SD, collapses=0.0)
    errors = calibration.family_wise_errors(made, calibration.DISJOINT, two_grades, calibration.MIXED_TRUTHS)
    assert errors <= 0.05 + noise(FEW)


@pytest.mark.parametrize("seeds", [6, 14])
def test_the_bound_on_the_mean_holds_for_laws_of_three_values(seeds):
    errors = calibration.bound_errors(seeds, laws=25, count=1000)
    assert errors.max() <= 0.05 + noise(1000)
    assert errors.max() > 0.01, "it is no bound that never says anything"


def test_plans_find_what_they_promise_on_average_over_pilots():
    for pilot in (3, 6):
        for comparisons in (1, 9):
            found = calibration.planned_power(pilot, comparisons, 0.7, cautious=True, count=1000)
            assert 0.78 <= found <= 0.93
    assert calibration.planned_power(3, 9, 0.7, cautious=False, count=1000) < 0.7
    assert calibration.planned_power_with_collapses(6, cautious=True, count=300) > 0.75


def test_a_second_look_errs_more_often():
    """Six seeds alone err in 2 of 64."""
    assert calibration.second_look(6, 6, 20_000) == pytest.approx(2 / 64, abs=0.005)
    assert calibration.second_look(6, 9, 20_000) > 0.045


@pytest.mark.parametrize("seeds", [3, 6, 10, 20])
def test_t_intervals_cover_95_percent_of_normal_runs(seeds):
    assert 0.93 <= calibration.coverage("Student's t", seeds, 2000) <= 0.97


@pytest.mark.parametrize("seeds", [6, 10, 20])
def test_iqm_and_median_intervals_cover_normal_runs(seeds):
    assert 0.92 <= calibration.coverage("IQM, Yuen's t", seeds, 800) <= 0.97
    assert 0.94 <= calibration.coverage("median, order statistics", seeds, 800) <= 0.99


@pytest.mark.parametrize("seeds", [3, 10])
def test_rliables_bootstrap_does_not_cover_where_a_run_is_scored_in_many_environments(seeds):
    assert calibration.coverage("rliable's stratified bootstrap", seeds, 400) < 0.6
    assert calibration.coverage("percentile bootstrap", 5, 400) < 0.9


def test_power_for_one_sd_at_ten_seeds():
    for comparisons in (1, 15):
        found = calibration.power(1.0, 10, comparisons, 2000)
        assert found == pytest.approx(stats.power_at(1.0, 10, comparisons), abs=0.04)


def test_models_find_no_effects_where_there_are_none():
    """60 sweeps: .05 has a standard error of .03."""
    assert max(calibration.false_effects(6, 0.0, 60).values()) <= 0.13


def test_the_mixed_model_needs_effects_that_do_not_differ_from_seed_to_seed():
    shares = calibration.false_effects(10, 0.1, 40)
    assert shares["mixed model"] > 0.2
    assert max(shares["binomial GEE"], shares["sign-flip"]) <= 0.15


def test_the_scaling_fit_covers_where_the_curve_has_its_form_alone():
    """20 samples: an interval of 95 % holds 16 or more of them but for one case in ten thousand."""
    fitting = calibration.scaling_coverage("of the fitted form, saturated", 6, 20)
    other = calibration.scaling_coverage("linear, then flat", 6, 20)
    assert min(fitting["asymptote"], fitting["half"]) >= 0.8
    assert min(other["asymptote"], other["half"]) < min(fitting["asymptote"], fitting["half"])
