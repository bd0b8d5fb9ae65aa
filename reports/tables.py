"""The report's tables, from the store's frames. Nothing here draws or words anything.

A *setting* is an environment and a model: arms are compared inside one. An *arm* is an algorithm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from harness.ledger import OUTSIDE_BUDGET, Phase
from reports import stats
from reports.store import Record, Store

FRACTIONS = np.linspace(0, 1, 21)
"""Shares of the budget at which learning curves are compared."""
AXES = ("flops", "tokens", "env_steps", "seconds")
"""Columns of a curve that success can be drawn along."""
OUTSIDE = [phase.value for phase in OUTSIDE_BUDGET]
BUDGETED = [phase.value for phase in Phase if phase not in OUTSIDE_BUDGET]
LEADING = ["credit_unit", "baseline", "normalise_unit", "ratio_unit", "aggregation", "rollouts"]
"""Factors that the factor table starts with, where they differ."""
SAMPLED = [Phase.decode.value, Phase.decode_branch.value]


@dataclass(frozen=True)
class Setting:
    """One environment with one model: what its arms did, `done` for finished runs only."""

    env: str
    model: str
    arms: dict[str, Record]
    """`config.algorithm` by arm, arms sorted by name; empty where no configuration was written yet."""
    config: Record
    """The configuration of one of its cells: what all arms share; empty where none was written yet."""
    runs: pd.DataFrame
    done: pd.DataFrame
    curve: pd.DataFrame
    phases: pd.DataFrame
    controls: frozenset[str]
    """Arms that are no contestants: they take part in no comparison of credit units."""
    contrasts: dict[str, dict[str, list[str]]]
    """The declared contrasts: arms on the `left` and on the `right`, by name."""

    @property
    def axis(self) -> str:
        """The budget's axis, as a column of `curve`; FLOPs while no configuration was written."""
        axis = str(self.config["budget"]["axis"]) if self.config else "flops"
        return {"gpu_seconds": "seconds"}.get(axis, axis)

    @property
    def limit(self) -> float:
        """The budget."""
        return float(self.config["budget"]["limit"])

    @property
    def axes(self) -> list[str]:
        """The axes that curves can be drawn along, the budget's first."""
        return list(dict.fromkeys([self.axis, *AXES]))

    @property
    def slug(self) -> str:
        """Name for files and anchors."""
        return f"{self.env}-{self.model}"

    def unit(self, arm: str) -> str:
        """What one advantage value of the arm belongs to: token, step, trajectory, or control."""
        if arm in self.controls:
            return "control"
        return str(self.arms[arm].get("credit_unit", "unknown"))

    def finals(self) -> pd.DataFrame:
        """Final success of finished runs: seeds x arms, NaN where a run is missing."""
        return self.done.pivot_table(index="seed", columns="arm", values="final_success", aggfunc="mean")


def settings(store: Store) -> list[Setting]:
    """The settings of a sweep, sorted by name."""
    found = []
    for (env, model), runs in store.runs.groupby(["env", "model"]):
        arms = {arm: config_of(store, runs[runs["arm"] == arm]) for arm in sorted(runs["arm"].unique())}
        cells = runs[["cell", "arm", "seed", "state"]]
        done = runs[runs["state"] == "done"]
        found.append(
            Setting(
                env=str(env),
                model=str(model),
                arms={arm: config.get("algorithm", {}) for arm, config in arms.items()},
                config=config_of(store, runs),
                runs=runs.sort_values(["arm", "seed"]),
                done=done,
                controls=frozenset(runs[runs["cell"].isin(store.manifest["controls"])]["arm"]),
                contrasts=contrasts_of(store, cells),
                curve=store.curve.merge(cells, on="cell"),
                phases=store.phases.merge(cells, on="cell"),
            )
        )
    return found


def contrasts_of(store: Store, cells: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """The declared contrasts, by the arms of `cells` (cell, arm)."""
    arms = dict(zip(cells["cell"], cells["arm"], strict=True))
    return {
        name: {
            side: sorted({arms[cell] for cell in members if cell in arms}) for side, members in sides.items()
        }
        for name, sides in store.manifest["contrasts"].items()
    }


def config_of(store: Store, runs: pd.DataFrame) -> Record:
    """The configuration of the first of `runs` that has one."""
    return next((store.configs[cell] for cell in runs["cell"] if cell in store.configs), {})


def final_table(setting: Setting) -> pd.DataFrame:
    """One row an arm with finished runs, best first: success means with t intervals over seeds."""
    areas = {
        str(cell): stats.area(lines["spent"], lines["success"])
        for cell, lines in setting.curve.groupby("cell")
    }
    rows = []
    for arm, runs in setting.done.groupby("arm"):
        final = stats.rate_interval(runs["final_success"])
        area = stats.rate_interval(runs["cell"].map(areas))
        rows.append(
            {
                "arm": arm,
                "credit_unit": setting.unit(str(arm)),
                "seeds": final.n,
                "final_success": final.mean,
                "low": final.low,
                "high": final.high,
                "greedy_success": runs["greedy_success"].mean(),
                "start_success": runs["start_success"].mean(),
                "area": area.mean,
                "area_low": area.low,
                "area_high": area.high,
            }
        )
    frame = pd.DataFrame(rows)
    return frame if frame.empty else frame.sort_values("final_success", ascending=False, ignore_index=True)


@dataclass(frozen=True)
class Family:
    """Comparisons whose p values are adjusted together (Holm)."""

    name: str
    table: pd.DataFrame
    """One row a comparison, `left` minus `right`; `label` names it."""
    differences: dict[str, pd.Series]
    """Differences by seed, by label."""


def compare_columns(name: str, values: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> Family:
    """Paired comparisons of the columns of `values` (seeds x columns); `left` minus `right` of each pair."""
    rows, differences = [], {}
    for left, right in pairs:
        both = values[[left, right]].dropna()
        difference = both[left] - both[right]
        interval = stats.t_interval(difference)
        differences[f"{left} − {right}"] = difference
        rows.append(
            {
                "label": f"{left} − {right}",
                "left": left,
                "right": right,
                "seeds": interval.n,
                "left_mean": both[left].mean(),
                "right_mean": both[right].mean(),
                "difference": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "p": stats.sign_flip_p(difference),
            }
        )
    table = pd.DataFrame(rows)
    if rows:
        table["p_holm"] = stats.holm(table["p"])
        table["verdict"] = [
            stats.verdict(d, p) for d, p in zip(table["difference"], table["p_holm"], strict=True)
        ]
    return Family(name, table, differences)


def contrast_family(setting: Setting) -> Family:
    """The declared contrasts: means over the arms of both sides, seed by seed.

    A seed counts where every arm of both sides finished.
    """
    finals = setting.finals()
    declared = {name: sides for name, sides in setting.contrasts.items() if all(sides.values())}
    means = {
        f"{name}, {side}": finals.reindex(columns=arms).mean(axis=1, skipna=False)
        for name, sides in declared.items()
        for side, arms in sides.items()
    }
    pairs = [(f"{name}, left", f"{name}, right") for name in declared]
    family = compare_columns("declared contrasts", pd.DataFrame(means), pairs)
    if not declared:
        return family
    names = {side: [named(sides[side]) for sides in declared.values()] for side in ("left", "right")}
    differences = dict(zip(declared, family.differences.values(), strict=True))
    return Family(family.name, family.table.assign(label=list(declared), **names), differences)


def named(arms: Sequence[str]) -> str:
    """A few arms by name, many by number."""
    return ", ".join(arms) if len(arms) <= 3 else f"{len(arms)} arms"


def unit_family(setting: Setting) -> Family:
    """Step credit against token and trajectory credit: means over the arms of a unit, seed by seed.

    A seed counts where every arm of both units finished.
    """
    finals = setting.finals()
    units: dict[str, list[str]] = {}
    for arm in setting.arms:
        units.setdefault(setting.unit(arm), []).append(arm)
    means = pd.DataFrame(
        {unit: finals.reindex(columns=arms).mean(axis=1, skipna=False) for unit, arms in units.items()}
    )
    pairs = [("step", unit) for unit in ("token", "trajectory") if "step" in units and unit in units]
    return compare_columns("credit units, pooled", means, pairs)


def question_family(setting: Setting) -> Family:
    """Every arm with step credit against every arm with token or trajectory credit."""
    arms = list(setting.arms)
    pairs = [
        (left, right)
        for unit in ("token", "trajectory")
        for right in arms
        for left in arms
        if setting.unit(left) == "step" and setting.unit(right) == unit
    ]
    return compare_columns("step arms against the others", setting.finals().reindex(columns=arms), pairs)


def all_pairs_family(setting: Setting) -> Family:
    """Every pair of arms, the arm with the higher mean on the left."""
    finals = setting.finals()
    ranked = list(finals.mean().sort_values(ascending=False).index)
    return compare_columns("all pairs", finals, list(combinations(ranked, 2)))


def curve_table(setting: Setting, axis: str) -> pd.DataFrame:
    """Success along `axis`: one row an arm and place, with t intervals over finished seeds.

    Places are equal steps up to the budget on its own axis, where `amount` is at most the limit; on any other
    axis up to what each arm's thriftiest run spent, so that a curve is always a mean over the same runs.
    """
    rows = []
    done = setting.curve[setting.curve["state"] == "done"]
    for arm, lines in done.groupby("arm"):
        runs = [run for _, run in lines.groupby("cell")]
        end = setting.limit if axis == setting.axis else min(float(run[axis].max()) for run in runs)
        places = FRACTIONS * end
        by_run = np.array([stats.at_fractions(run[axis], run["success"], places) for run in runs])
        for amount, success in zip(places, by_run.T, strict=True):
            interval = stats.rate_interval(success[~np.isnan(success)])
            row = {"arm": arm, "axis": axis, "amount": amount, "success": interval.mean}
            rows.append({**row, "low": interval.low, "high": interval.high, "seeds": interval.n})
    return pd.DataFrame(rows, columns=["arm", "axis", "amount", "success", "low", "high", "seeds"])


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
