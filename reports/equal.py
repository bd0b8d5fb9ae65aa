"""The leading comparisons on other terms: at a part of the budget, and where both sides spent equally much.

Arms that spend the same nominal budget differ in what they really computed, sampled and waited for. A run's
success at an amount is defined as its final success is: the mean of its learning curve over the same share of
what it had spent by then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from reports import stats
from reports.comparisons import Family, Pair, paired_seeds
from reports.settings import Lines, Setting
from reports.stats import Floats
from reports.tables import OUTSIDE

SHARES = (1.0, 0.5, 0.25)
"""Of the budget."""
COLUMNS = [
    "label", "terms", "seeds", "left_mean", "right_mean", "difference", "low", "high", "left_share",
    "right_share",
]  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run along one axis: amounts spent, the share of the budget by then, success."""

    amount_P: Floats
    spent_P: Floats
    success_P: Floats

    def total(self) -> float:
        """What it had spent when its budget was; NaN if the axis was not measured."""
        return float(np.interp(1.0, self.spent_P, self.amount_P))

    def success(self, amount: float, window_W: Floats) -> float:
        """Success at `amount`, the mean over some shares of it."""
        return float(np.interp(amount * window_W, self.amount_P, self.success_P).mean())

    def share(self, amount: float) -> float:
        """The share of its budget that it had spent by then."""
        return min(1.0, float(np.interp(amount, self.amount_P, self.spent_P)))


def equal_table(setting: Setting, family: Family) -> pd.DataFrame:
    """Each comparison of `family`, at parts of the budget and at equal amounts, with 95 % t intervals.

    The equal amount of a seed is the least that a run of either side had spent at its limit. A run that the
    algorithm broke scores 0 at every amount.
    """
    if not setting.config:
        return pd.DataFrame(columns=COLUMNS)
    evaluation = setting.config["evaluation"]
    points, window = int(evaluation["points"]), int(evaluation["window"])
    window_W = (points - np.arange(window)) / points
    rows = []
    for label, pair in family.pairs.items():
        for terms, amount_of, least in terms_of(setting):
            found = compared(setting, pair, amount_of, least, window_W)
            if len(found):
                difference = stats.t_interval(found["left"] - found["right"])
                means = found.mean()
                scores, shares = means[["left", "right"]], means[["left_share", "right_share"]]
                interval = difference.estimate, difference.low, difference.high
                rows.append([label, terms, len(found), *scores, *interval, *shares])
    return pd.DataFrame(rows, columns=COLUMNS)


Amounts = Callable[[str, Lines], Floats]
"""What a cell had spent at each of its evaluations."""


def terms_of(setting: Setting) -> list[tuple[str, Amounts, float | None]]:
    """Name, axis and amount of each; without an amount: the least total of the runs that are compared."""
    inside = (
        setting.phases[~setting.phases["phase"].isin(OUTSIDE)].groupby("cell")[["flops", "computed"]].sum()
    )
    really = (inside["computed"].astype(float) / inside["flops"].astype(float)).to_dict()

    def along(axis: str) -> Amounts:
        return lambda cell, lines: np.asarray(lines[axis], dtype=float)

    def computed(cell: str, lines: Lines) -> Floats:
        return np.asarray(lines["flops"], dtype=float) * really[cell]

    axes = {"flops": "nominal FLOPs", "tokens": "sampled tokens", "seconds": "device seconds"}
    budget: list[tuple[str, Amounts, float | None]] = [
        (f"{share:.0%} of the budget".replace("%", " %"), along("spent"), share) for share in SHARES
    ]
    equal: list[tuple[str, Amounts, float | None]] = [("equal computed FLOPs", computed, None)]
    equal += [(f"equal {name}", along(axis), None) for axis, name in axes.items() if axis != setting.axis]
    return budget + equal


def compared(
    setting: Setting, pair: Pair, amount_of: Amounts, amount: float | None, window_W: Floats
) -> pd.DataFrame:
    """Mean success of both sides and the shares of their budgets, one row per seed that was measured."""
    cells = setting.done.set_index(["seed", "arm"])["cell"]
    rows = []
    for seed in paired_seeds(setting, pair):
        runs = {
            arm: run_of(setting.lines[cells[seed, arm]], cells[seed, arm], amount_of)
            for arm in (*pair.left, *pair.right)
            if (seed, arm) in cells.index
        }
        place = amount if amount is not None else min((run.total() for run in runs.values()), default=np.nan)
        if not np.isnan([place, *(run.total() for run in runs.values())]).any():
            rows.append({"seed": seed, **sides(pair, runs, place, window_W)})
    return pd.DataFrame(rows)


def run_of(lines: Lines, cell: str, amount_of: Amounts) -> Run:
    """A finished run along an axis."""
    spent, success = (np.asarray(lines[name], dtype=float) for name in ("spent", "score"))
    return Run(amount_of(cell, lines), spent, success)


def sides(pair: Pair, runs: dict[str, Run], place: float, window_W: Floats) -> dict[str, float]:
    """The means of both sides at an amount; an arm without a run was broken by its algorithm."""
    found = {}
    for side, arms in (("left", pair.left), ("right", pair.right)):
        made = [runs[arm] for arm in arms if arm in runs]
        broken = len(arms) - len(made)
        success = [run.success(place, window_W) for run in made] + [stats.FAILED_SCORE] * broken
        found[side] = mean(success)
        found[f"{side}_share"] = mean([run.share(place) for run in made])
    return found


def mean(values: Sequence[float]) -> float:
    """NaN of none."""
    return float(np.mean(values)) if values else np.nan
