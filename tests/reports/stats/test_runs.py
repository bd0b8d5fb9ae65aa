"""Runs that the algorithm broke stay in, runs that were not made stay out, and both are said."""

import math

import numpy as np
import pandas as pd
import pytest

from reports import stats

RUNS = pd.DataFrame(
    [
        (0, "ppo", "done", None, 0.8),
        (1, "ppo", "failed", "algorithm", math.nan),
        (2, "ppo", "done", None, 0.6),
        (4, "ppo", "failed", "infrastructure", 0.4),
        (0, "grpo", "done", None, 0.5),
        (1, "grpo", "done", None, 0.7),
        (2, "grpo", "unfinished", None, 0.3),
        (3, "grpo", "failed", "algorithm", 0.9),
        (4, "grpo", "done", None, 0.5),
    ],
    columns=["seed", "arm", "state", "failure", "final_score"],
)


def test_the_table_is_completed_and_says_how():
    done = stats.intention_to_treat(RUNS)
    expected = {"grpo": [0.5, 0.7, math.nan, 0.0, 0.5], "ppo": [0.8, 0.0, 0.6, math.nan, math.nan]}
    np.testing.assert_allclose(done.scores[["grpo", "ppo"]], pd.DataFrame(expected))
    assert done.filled.values.tolist() == [[1, "ppo"], [3, "grpo"]]
    assert done.missing.values.tolist() == [[2, "grpo"], [3, "ppo"], [4, "ppo"]]


def test_leaving_failures_out_would_flatter():
    scores = stats.intention_to_treat(RUNS).scores
    pair = stats.paired(scores["ppo"] - scores["grpo"])
    assert pair.seeds == 2
    assert pair.difference.estimate == pytest.approx((0.3 - 0.7) / 2)


def test_environments_must_be_told_apart():
    with pytest.raises(ValueError, match="duplicate"):
        stats.intention_to_treat(pd.concat([RUNS, RUNS]))
