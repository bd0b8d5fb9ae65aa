"""Every table of a setting, made once: the page shows them, the figures draw them."""

from dataclasses import dataclass

import pandas as pd

from reports import learning, tables
from reports.outcomes import metric_table, outcome_table
from reports.settings import Setting


@dataclass(frozen=True)
class Measured:
    """The tables of a setting; `reports.columns` says what their columns are."""

    final: pd.DataFrame
    compute: pd.DataFrame
    phases: pd.DataFrame
    factors: pd.DataFrame
    curves: pd.DataFrame
    """Along every axis."""
    threshold: pd.DataFrame
    survival: pd.DataFrame
    scaling: pd.DataFrame
    profile: pd.DataFrame
    outcomes: pd.DataFrame
    metrics: pd.DataFrame


def measured(setting: Setting) -> Measured:
    """The tables of a setting."""
    budgets = learning.budgets_to_threshold(setting)
    return Measured(
        final=tables.final_table(setting),
        compute=tables.compute_table(setting),
        phases=tables.phase_table(setting),
        factors=tables.factor_table(setting),
        curves=pd.concat([tables.curve_table(setting, axis) for axis in setting.axes], ignore_index=True),
        threshold=learning.threshold_table(budgets),
        survival=learning.survival_table(budgets),
        scaling=learning.scaling_table(setting),
        outcomes=outcome_table(setting),
        metrics=metric_table(setting),
        profile=learning.profile_table({arm: setting.finals[[arm]] for arm in setting.arms}),
    )
