"""The report's tables of one setting. Nothing here draws or words anything."""

import numpy as np
import pandas as pd

from harness.ledger import OUTSIDE_BUDGET, Phase
from reports import stats
from reports.settings import Setting

FRACTIONS = np.linspace(0, 1, 21)
"""Shares of the budget at which learning curves are compared."""
OUTSIDE = [phase.value for phase in OUTSIDE_BUDGET]
BUDGETED = [phase.value for phase in Phase if phase not in OUTSIDE_BUDGET]
LEADING = ["credit_unit", "baseline", "normalise_unit", "ratio_unit", "aggregation", "rollouts"]
"""Factors that the factor table starts with, if they differ."""
SAMPLED = [Phase.decode.value, Phase.decode_branch.value]


def final_table(setting: Setting) -> pd.DataFrame:
    """One row per arm with scores, best first: where its runs end, with 95 % intervals over seeds.

    A run that diverged scores 0 everywhere.
    """
    rows = []
    for arm in setting.arms:
        finals, areas = setting.finals[arm].dropna(), setting.areas[arm].dropna()
        if finals.empty:
            continue
        done = setting.done[setting.done["arm"] == arm]
        rows.append(
            {
                "arm": arm,
                "credit_unit": setting.unit(arm),
                "failed": int(setting.failed[arm].sum()),
                "collapsed": int(done["collapsed"].astype(bool).sum()),
                "start_score": done["start_score"].mean(),
                "greedy_score": done["greedy_score"].astype(float).mean(),
                "final_success": done["final_success"].mean(),
                **located(finals, areas),
            }
        )
    frame = pd.DataFrame(rows)
    return frame if frame.empty else frame.sort_values("final_score", ascending=False, ignore_index=True)


def located(finals_S: pd.Series, areas_S: pd.Series) -> dict[str, float]:
    """Where scores of seeds lie: mean, IQM and median of the final ones, mean of the areas."""
    mean, area = stats.rate_interval(finals_S), stats.rate_interval(areas_S)
    middle, median = stats.iqm_interval(finals_S), stats.median_interval(finals_S)
    return {
        "seeds": mean.n,
        "final_score": mean.estimate,
        "low": mean.low,
        "high": mean.high,
        "iqm": middle.estimate,
        "iqm_low": float(np.clip(middle.low, 0, 1)),  # NaN stays NaN, which max and min would lose
        "iqm_high": float(np.clip(middle.high, 0, 1)),
        "median": median.estimate,
        "median_low": median.low,
        "median_high": median.high,
        "area": area.estimate,
        "area_low": area.low,
        "area_high": area.high,
    }


def curve_table(setting: Setting, axis: str) -> pd.DataFrame:
    """Success along `axis`: one row per arm and place, with t intervals over finished seeds.

    Places are equal steps up to the budget on its own axis, where `amount` is at most the limit; on any other
    axis up to what each arm's thriftiest run spent, so that a curve is always a mean over the same runs.
    """
    rows = []
    for arm in setting.arms:
        runs = setting.finished(arm)
        if not runs:
            continue
        end = setting.limit if axis == setting.axis else min(float(run[axis].max()) for run in runs)
        places = FRACTIONS * end
        by_run = np.array([stats.at_fractions(run[axis], run["score"], places) for run in runs])
        for amount, success in zip(places, by_run.T, strict=True):
            interval = stats.rate_interval(success)
            row = {"arm": arm, "axis": axis, "amount": amount, "score": interval.estimate}
            rows.append({**row, "low": interval.low, "high": interval.high, "seeds": interval.n})
    return pd.DataFrame(rows, columns=["arm", "axis", "amount", "score", "low", "high", "seeds"])


def phase_table(setting: Setting) -> pd.DataFrame:
    """Means of a finished run, by arm and phase; `share` of the budgeted nominal FLOPs."""
    columns = ["tokens", "flops", "computed", "seconds", "peak_memory"]
    measured = setting.phases.astype(dict.fromkeys(columns, float))
    frame = measured.groupby(["arm", "phase"], as_index=False)[columns].mean()
    budgeted = frame[~frame["phase"].isin(OUTSIDE)]
    total = budgeted.groupby("arm")["flops"].sum()
    frame["share"] = (frame["flops"] / frame["arm"].map(total)).where(~frame["phase"].isin(OUTSIDE))
    return frame


def compute_table(setting: Setting) -> pd.DataFrame:
    """What a run of each arm spent, means over its finished runs. FLOPs inside the budget unless named."""
    phases = setting.phases
    budgeted = phases[~phases["phase"].isin(OUTSIDE)]

    def total(frame: pd.DataFrame, column: str) -> pd.Series:
        return frame.groupby(["arm", "cell"])[column].sum().groupby("arm").mean()

    counts = ["iterations", "trajectories", "env_steps", "tool_calls", "env_steps_replayed", "overshoot"]
    counts += ["tokens_reused", "flops_reused", "flops_redone", "seconds_redone", "peak_memory"]
    seconds = ["rollout_seconds", "update_seconds", "evaluation_seconds"]
    measured = (
        setting.done.astype(dict.fromkeys(counts + seconds, float)).groupby("arm")[counts + seconds].mean()
    )
    spent = {
        "tokens_sampled": total(phases[phases["phase"].isin(SAMPLED)], "tokens"),
        "tokens_trained": total(phases[phases["phase"] == Phase.actor_train.value], "tokens"),
        "flops_nominal": total(budgeted, "flops"),
        "flops_computed": total(budgeted, "computed"),
        "flops_cached": total(phases[phases["phase"] == Phase.prefill_cached.value], "flops"),
        "flops_evaluation": total(phases[phases["phase"] == Phase.evaluation.value], "flops"),
        "flops_warm_start": total(phases[phases["phase"] == Phase.warm_start.value], "flops"),
    }
    return measured.join(pd.DataFrame(spent)).reset_index()


def factor_table(setting: Setting) -> pd.DataFrame:
    """What each arm is: factors x arms, those that differ between arms first."""
    found = {name for factors in setting.arms.values() for name in factors} - {"_target_"}
    names = [name for name in LEADING if name in found] + sorted(found - set(LEADING))
    frame = pd.DataFrame(
        {arm: {name: factors.get(name, "–") for name in names} for arm, factors in setting.arms.items()},
        dtype=object,
    )
    frame.insert(0, "differs", [len({str(v) for v in row}) > 1 for row in frame.itertuples(index=False)])
    return frame.rename_axis("factor").reset_index().sort_values("differs", ascending=False, kind="stable")
