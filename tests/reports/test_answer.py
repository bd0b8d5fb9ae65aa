"""The line that a report begins with, case by case."""

import math

import numpy as np
import pandas as pd
import pytest

from reports import stats
from reports.answer import Asked, answer, unfinished
from reports.comparisons import Family, arm_pairs

RISING = np.array([0.10, 0.12, 0.08, 0.11, 0.13, 0.09, 0.10, 0.12, 0.11, 0.10])
"""Differences that a sign test of ten seeds decides, and a bound on the mean does not."""


def asked(left_S, right_S, names=("step", "token"), failed=(), of=1, stuck="") -> Asked:
    """A comparison by its scores, one of `of` alike; `failed`: seeds on which the right side diverged."""
    left, right = np.asarray(left_S, dtype=float)[:, None], np.asarray(right_S, dtype=float)[:, None]
    no = np.zeros(len(left), dtype=bool)
    broken = no.copy()
    broken[list(failed)] = True
    sides = stats.Sides(left, right, no, broken, no, broken)
    return Asked(*names, stats.verdicts(dict.fromkeys(range(of), sides))[0], stuck)


def test_a_lead_that_too_few_seeds_cannot_decide():
    left = 0.5 + np.array([0.2, 0.1, 0.0, 0.15, 0.05, 0.16])
    [low, high] = [round(float(np.mean(left - 0.5)) + sign * 2.5706 * float(np.std(left, ddof=1)) / 6**0.5, 2)
                   for sign in (-1, 1)]  # fmt: skip
    text = answer([asked(left, [0.5] * 6, of=2)], {})
    assert text == f"Not decided: 6 seeds, 7 needed. Leaning to step, +0.11 (+{low:.2f} to +{high:.2f})."
    turned = answer([asked([0.5] * 6, left, of=2)], {})
    assert turned == f"Not decided: 6 seeds, 7 needed. Leaning to token, +0.11 (+{low:.2f} to +{high:.2f})."


def test_an_interval_over_zero_keeps_its_signs_when_turned():
    text = answer([asked([0.5] * 4, [0.8, 0.4, 0.8, 0.4], of=2)], {})
    assert "Leaning to token, +0.10 (−0.27 to +0.47)." in text


def test_a_side_that_is_usually_better():
    assert answer([asked(0.4 + RISING, [0.4] * 10)], {}) == (
        "Step is usually better than token: +0.11 (+0.10 to +0.12), 10 seeds."
    )
    assert answer([asked([0.4] * 10, 0.4 + RISING)], {}) == (
        "Step is usually worse than token: −0.11 (−0.12 to −0.10), 10 seeds."
    )


def test_a_side_that_is_better_on_average_too():
    text = answer([asked(0.95 + RISING / 10, [0.05] * 10)], {})
    assert text == "Step is better than token: +0.91 (+0.91 to +0.91), 10 seeds."


def test_sides_that_are_alike():
    assert answer([asked([0.5, 0.51] * 5, [0.51, 0.5] * 5)], {}).startswith(
        "Step and token are usually alike: 0.00"
    )
    many = np.full(80, 0.5)
    assert answer([asked(many, many)], {}) == (
        "Step and token are equivalent: 0.00 (no spread seen), 80 seeds."
    )


def test_a_verdict_that_rests_on_runs_that_diverged_says_so():
    left, right = np.full(8, 0.5), np.array([0.0, 0.0, 0.0, 0.0, 0.49, 0.48, 0.47, 0.49])
    text = answer([asked(left, right, failed=range(4))], {})
    assert text.startswith("Step is usually better than token")
    assert text.endswith("8 seeds; without the seeds on which a run diverged: undecided.")


def test_one_seed_has_no_interval():
    assert answer([asked([0.9], [0.2])], {}) == "Not decided: 1 seed, 6 needed. Leaning to step, +0.70."


def test_no_seed_names_the_arm_that_is_missing():
    text = answer([asked([], [])], {"ppo": (0, 3)})
    assert text == "Not decided: no seed has a score of every arm, 6 needed (ppo has 0 of 3 seeds)."


def test_equal_means_lean_nowhere():
    text = answer([asked([0.4, 0.6, 0.5], [0.6, 0.4, 0.5])], {})
    assert text.startswith("Not decided: 3 seeds, 6 needed. No lean between step and token, 0.00 (−")


def test_enough_seeds_that_do_not_agree():
    left = [0.9, 0.1] * 6
    text = answer([asked(left, [0.4] * 12)], {})
    assert text.startswith("Not decided: 12 seeds. Leaning to step, +0.10 (")


def test_several_comparisons_name_both_sides():
    first = asked(0.4 + RISING, [0.4] * 10, of=2)
    second = asked([0.9, 0.1] * 5, [0.4] * 10, ("step", "trajectory"), of=2)
    text = answer([second, first], {})
    assert text.startswith("Step is usually better than token: ")
    assert "Not decided: 10 seeds. Leaning to step against trajectory, +0.10" in text
    assert answer([first] * 5, {}).endswith("10 seeds. 2 more below.")


@pytest.mark.parametrize(
    ("stuck", "words"),
    [("hard", "no run of either side ever rises, the task is too hard"), ("easy", "the task is too easy")],
)
def test_a_task_that_tells_nothing_is_no_equivalence(stuck, words):
    same = np.full(80, 0.0)
    text = answer([asked(same, same, stuck=stuck)], {})
    assert words in text
    assert "equivalent" not in text


def test_nothing_to_compare():
    assert answer([], {}) == "Nothing to compare: no two arms have a score on the same seed."


def test_arms_without_all_their_scores_are_counted():
    finals = pd.DataFrame({"ppo": [0.1, math.nan, 0.2], "steppo": [0.4, 0.5, 0.6], "grpo": [math.nan] * 3})
    family = Family("one", pd.DataFrame(), {}, {}, arm_pairs([("steppo", "ppo")]))
    assert unfinished(finals, family) == {"ppo": (2, 3)}
