"""Intention to treat: a run that the algorithm broke has a score, a run that was not made has none."""

from dataclasses import dataclass

import pandas as pd

FAILED_SCORE = 0.0
"""Declared: a run that diverged counts as one that solves nothing."""
ALGORITHM, INFRASTRUCTURE = "algorithm", "infrastructure"
"""Whose failure it was. Only what the algorithm did says anything about it."""


@dataclass(frozen=True)
class Completed:
    """Scores of one environment and model, and what was done to complete them."""

    scores: pd.DataFrame
    """Seeds x arms; NaN if a run was not made or has not ended."""
    filled: pd.DataFrame
    """Columns `seed`, `arm`: runs that the algorithm broke, counted as `FAILED_SCORE`."""
    missing: pd.DataFrame
    """Columns `seed`, `arm`: runs without a score, left out of what is compared."""


def intention_to_treat(runs: pd.DataFrame, score: str = "final_score") -> Completed:
    """The table of seeds x arms from `runs`, one row per run: `seed`, `arm`, `state`, `failure` and `score`.

    A run that the algorithm broke scores `FAILED_SCORE` whatever it holds, a `done` run its score. Anything
    else is missing (waiting, unfinished, damaged, failed for another reason), as is a seed that an arm has no
    row for. Raises `ValueError` if a seed and an arm have two rows: several environments or models must be
    told apart first.
    """
    broken = broken_by_algorithm(runs)
    scored = runs[score].astype(float).where(runs["state"] == "done").mask(broken, FAILED_SCORE)
    scores = runs.assign(score=scored).pivot(index="seed", columns="arm", values="score")
    filled = runs.loc[broken, ["seed", "arm"]]
    long = scores.reset_index().melt(id_vars="seed", var_name="arm", value_name="score")
    missing = long.loc[long["score"].isna(), ["seed", "arm"]]
    order = ["seed", "arm"]
    return Completed(
        scores,
        filled.sort_values(order, ignore_index=True),
        missing.sort_values(order, ignore_index=True),
    )


def broken_by_algorithm(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Which of `runs` failed by what the algorithm did."""
    return (runs["state"] == "failed") & (runs["failure"] == ALGORITHM)
