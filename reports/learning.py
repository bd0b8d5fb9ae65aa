"""How arms learn: budget to a threshold, performance profile, asymptote. Tables of one setting."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from reports import stats
from reports.settings import Setting
from reports.tables import FRACTIONS

THRESHOLD = 0.5
"""Success whose budget is asked for."""
PROFILED = np.linspace(0, 1, 41)
"""Scores at which the performance profile is taken."""


def budgets_to_threshold(setting: Setting) -> dict[str, pd.Series]:
    """Share of the budget at which each run first reaches `THRESHOLD`, by arm; infinite if it does not.

    Runs that diverged count as never; runs without a score are left out.
    """
    lines = setting.lines
    found = {}
    for arm, runs in setting.scored.groupby("arm"):
        reached = [
            stats.budget_to_threshold(lines[cell]["spent"], lines[cell]["score"], THRESHOLD)
            if state == "done"
            else math.inf
            for cell, state in zip(runs["cell"], runs["state"], strict=True)
        ]
        found[str(arm)] = pd.Series(reached, index=runs["cell"], dtype=float)
    return found


def threshold_table(budgets_by_arm: Mapping[str, pd.Series]) -> pd.DataFrame:
    """One row per arm: runs that reached the threshold, and the restricted mean share of the budget."""
    rows = []
    for arm, budgets in budgets_by_arm.items():
        mean = stats.restricted_mean(budgets)
        rows.append(
            {
                "arm": arm,
                "threshold": THRESHOLD,
                "runs": len(budgets),
                "reached": int((budgets <= 1).sum()),
                "share": mean.estimate,
                "low": float(np.clip(mean.low, 0, 1)),  # NaN stays NaN, which max and min would lose
                "high": float(np.clip(mean.high, 0, 1)),
            }
        )
    columns = ["arm", "threshold", "runs", "reached", "share", "low", "high"]
    return pd.DataFrame(rows, columns=columns).sort_values("share", ignore_index=True)


def survival_table(budgets_by_arm: Mapping[str, pd.Series]) -> pd.DataFrame:
    """Kaplan-Meier's share of runs below the threshold, by arm: steps from 1 at no budget to the limit."""
    rows = []
    for arm, budgets in budgets_by_arm.items():
        curve = stats.kaplan_meier(budgets)
        reached = [(b, s) for b, s in zip(curve.budget_T, curve.below_T, strict=True) if b < 1]
        last = float(curve.below_T[-1])
        for budget, below in [(0.0, 1.0), *reached, (1.0, last)]:
            rows.append({"arm": arm, "budget": float(budget), "below": float(below)})
    return pd.DataFrame(rows, columns=["arm", "budget", "below"])


def profile_table(finals: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Share of an arm's runs that end above each score.

    `finals`: by arm, final success of seeds x environments; a seed that misses an environment is left out.
    """
    rows = []
    for arm, scores in finals.items():
        complete = scores.dropna()
        if len(complete):
            above = stats.performance_profile(complete, PROFILED)
            rows += [{"arm": arm, "score": s, "above": a} for s, a in zip(PROFILED, above, strict=True)]
    return pd.DataFrame(rows, columns=["arm", "score", "above"])


def scaling_table(setting: Setting) -> pd.DataFrame:
    """The saturating curve fitted to each arm's mean: where it tends to, when half of the gain is made."""
    rows = []
    for arm in setting.arms:
        runs = setting.finished(arm)
        if not runs:
            continue
        success_SP = np.array([stats.at_fractions(run["spent"], run["score"], FRACTIONS) for run in runs])
        fit = stats.scaling_fit(FRACTIONS, success_SP)
        found: dict[str, object] = {"arm": arm, "reason": fit.reason}
        for name in ("asymptote", "half", "exponent"):
            interval = getattr(fit, name)
            found |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        rows.append(found)
    return pd.DataFrame(rows)
