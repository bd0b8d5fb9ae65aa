"""Why episodes ended, by arm: solved or not by the policy, or lost to their environments."""

import pandas as pd

from harness.records import StopReason
from reports.settings import Setting

UNEQUAL = 0.02
"""Largest difference between arms in the share of lost episodes that nobody needs to be told."""
LOST = [reason.value for reason in StopReason if reason.lost]


def outcome_table(setting: Setting) -> pd.DataFrame:
    """One row per arm, stage and stop reason: sampled episodes of finished runs, their share of the stage's.

    No rows if runs are of a version that did not count.
    """
    counted = setting.outcomes[setting.outcomes["kind"] != "metric"]
    table = counted.groupby(["arm", "kind", "name"])["value"].sum().reset_index()
    table = table.rename(columns={"kind": "stage", "name": "stop", "value": "episodes"})
    whole = table.groupby(["arm", "stage"])["episodes"].transform("sum")
    return table.assign(share_of_episodes=table["episodes"] / whole)


def metric_table(setting: Setting) -> pd.DataFrame:
    """One row per arm and number of the environment's own: its mean over finished runs at their end."""
    own = setting.outcomes[setting.outcomes["kind"] == "metric"].astype({"value": float})
    table = own.groupby(["arm", "name"])["value"].mean().reset_index()
    return table.rename(columns={"name": "metric", "value": "mean"})


def across(table: pd.DataFrame, rows: list[str], name: str, value: str) -> pd.DataFrame:
    """A table with a column for each `name`, for the page; what an arm has none of is 0."""
    wide = table.pivot_table(index=rows, columns=name, values=value, fill_value=0.0)
    return wide.reset_index().rename_axis(columns=None)


def lost_unequally(table: pd.DataFrame) -> list[str]:
    """A sentence for each stage in which arms lost different shares of their episodes."""
    found = []
    lost = table.assign(lost=table["share_of_episodes"].where(table["stop"].isin(LOST), 0.0))
    by_stage = lost.groupby(["stage", "arm"])["lost"].sum()
    for stage in dict.fromkeys(table["stage"]):
        shares = by_stage[stage]
        if shares.max() - shares.min() > UNEQUAL:
            found.append(
                f"Environments failed more often for some arms: in {stage}, {shares.idxmax()} lost "
                f"{shares.max():.1%} of its episodes, {shares.idxmin()} {shares.min():.1%}. Lost episodes "
                "are neither trained on nor scored, but those that are left may differ."
            )
    return found
