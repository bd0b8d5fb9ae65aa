"""Intention to treat: a run that failed has a score, a run that was not made has none."""

from dataclasses import dataclass

import pandas as pd

FAILED_SCORE = 0.0
"""Declared: a run that broke off counts as one that solves nothing."""


@dataclass(frozen=True)
class Completed:
    """Scores of one environment and model, and what was done to complete them."""

    scores: pd.DataFrame
    """Seeds x arms; NaN where a run was not made or has not ended."""
    filled: pd.DataFrame
    """Columns `seed`, `arm`: failed runs, counted as `FAILED_SCORE`."""
    missing: pd.DataFrame
    """Columns `seed`, `arm`: runs without a score, left out of what is compared."""


def intention_to_treat(runs: pd.DataFrame, score: str = "final_success") -> Completed:
    """The table of seeds x arms from `runs`, one row a run: `seed`, `arm`, `state` and the column `score`.

    A `failed` run scores `FAILED_SCORE` whatever it holds, a `done` run its score. Any other state (waiting,
    unfinished, damaged) is missing, as is a seed that an arm has no row for. Raises `ValueError` where a seed
    and an arm have two rows: several environments or models must be told apart first.
    """
    scored = runs[score].astype(float).where(runs["state"] == "done")
    scored = scored.mask(runs["state"] == "failed", FAILED_SCORE)
    scores = runs.assign(score=scored).pivot(index="seed", columns="arm", values="score")
    filled = runs.loc[runs["state"] == "failed", ["seed", "arm"]]
    long = scores.reset_index().melt(id_vars="seed", var_name="arm", value_name="score")
    missing = long.loc[long["score"].isna(), ["seed", "arm"]]
    order = ["seed", "arm"]
    return Completed(
        scores,
        filled.sort_values(order, ignore_index=True),
        missing.sort_values(order, ignore_index=True),
    )
