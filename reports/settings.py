"""Settings: what is compared with what. Nothing here computes a statistic of several runs.

A *setting* is an environment and a model: arms are compared inside one. An *arm* is an algorithm with its
options.
"""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.cells import Record
from reports import stats
from reports.store import Store

Lines = dict[str, NDArray[Any]]
"""Columns of a curve, of one run."""
AXES = ("flops", "tokens", "env_steps", "seconds")
"""Columns of a curve that success can be drawn along."""


@dataclass(frozen=True)
class Setting:
    """One environment with one model: what its arms did, `done` for finished runs only."""

    env: str
    model: str
    arms: dict[str, Record]
    """`config.algorithm` by arm, arms sorted by name; empty if no configuration was written yet."""
    config: Record
    """The configuration of one of its cells: what all arms share; empty if none was written yet."""
    runs: pd.DataFrame
    """One row per run; `area` under its curve and whether it `collapsed`, if it has a score."""
    done: pd.DataFrame
    curve: pd.DataFrame
    phases: pd.DataFrame
    outcomes: pd.DataFrame
    controls: frozenset[str]
    """Arms that are not contestants: they take part in no comparison of credit units."""
    contrasts: dict[str, dict[str, list[str]]]
    """The declared contrasts: arms on the `left` and on the `right`, by name."""
    references: frozenset[str]
    """Trials, and default settings next to their tuned ones: compared with nothing but their own
    algorithm."""

    sesoi: float
    """The declared smallest effect of interest, a difference in success."""
    dial: str
    """The option of the environment that the sweep turns; empty: none was declared."""
    looks: tuple[int, ...]
    """The numbers of seeds after which seeds may have ended; empty: their number was declared."""

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
    def measure(self) -> str:
        """What runs are compared by: `success`, or the `score` of an environment that is graded."""
        known = self.done["measure"].dropna()
        return str(known.iloc[0]) if len(known) else "success"

    @property
    def slug(self) -> str:
        """Name for files and anchors."""
        return re.sub(r"[^\w.+-]+", "-", f"{self.env}-{self.model}")

    def unit(self, arm: str) -> str:
        """What one advantage value of the arm belongs to: token, step, trajectory, or control."""
        if arm in self.controls:
            return "control"
        return str(self.arms[arm].get("credit_unit", "unknown"))

    def finished(self, arm: str) -> list[Lines]:
        """The curves of an arm's finished runs."""
        return [self.lines[cell] for cell in sorted(self.done.loc[self.done["arm"] == arm, "cell"])]

    @property
    def contestants(self) -> list[str]:
        """The arms that are compared with each other."""
        return [arm for arm in self.arms if arm not in self.references]

    @cached_property
    def lines(self) -> dict[str, Lines]:
        """The evaluations of each run, by cell."""
        return by_cell(self.curve)

    @cached_property
    def finals(self) -> pd.DataFrame:
        """Final success: seeds x arms, 0 if the algorithm broke the run, NaN if a run is missing."""
        return self.completed.scores.reindex(columns=list(self.arms))

    @cached_property
    def completed(self) -> stats.Completed:
        """Final success, and which runs count 0 or are missing."""
        return stats.intention_to_treat(self.runs)

    @cached_property
    def scored(self) -> pd.DataFrame:
        """The runs that have a score: finished, or broken by the algorithm."""
        return self.runs[(self.runs["state"] == "done") | stats.broken_by_algorithm(self.runs)]

    @cached_property
    def failed(self) -> pd.DataFrame:
        """Whether the algorithm broke the run: seeds x arms, like `finals`."""
        return self.flags(stats.broken_by_algorithm(self.runs))

    @cached_property
    def collapsed(self) -> pd.DataFrame:
        """Whether a run that has a score collapsed or broke: seeds x arms, like `finals`."""
        collapsed = (self.runs["state"] == "done") & self.runs["collapsed"].astype(bool)
        return self.flags(collapsed | stats.broken_by_algorithm(self.runs))

    def flags(self, of_runs: "pd.Series[bool]") -> pd.DataFrame:
        """What holds of some runs as seeds x arms, like `finals`."""
        wide = self.runs.assign(flag=of_runs).pivot(index="seed", columns="arm", values="flag")
        return wide.reindex(index=self.finals.index, columns=list(self.arms)).eq(True)

    @cached_property
    def areas(self) -> pd.DataFrame:
        """Area under the learning curve, like `finals`."""
        return stats.intention_to_treat(self.runs, "area").scores.reindex(columns=list(self.arms))


def settings(store: Store) -> list[Setting]:
    """The settings of a sweep, sorted by name."""
    found = []
    for (env, model), runs in store.runs.groupby(["env", "model"]):
        arms = {arm: config_of(store, runs[runs["arm"] == arm]) for arm in sorted(runs["arm"].unique())}
        cells = runs[["cell", "arm", "seed", "state"]]
        curve = store.curve.merge(cells, on="cell")
        runs = with_curves(runs, curve)
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
                references=frozenset(runs[runs["cell"].isin(store.manifest["references"])]["arm"]),
                curve=curve,
                sesoi=float(store.manifest["sesoi"]),
                dial=str(store.manifest["dial"]),
                looks=tuple(store.manifest["looks"]),
                phases=store.phases.merge(cells, on="cell"),
                outcomes=store.outcomes.merge(cells, on="cell"),
            )
        )
    return found


def by_cell(curve: pd.DataFrame) -> dict[str, Lines]:
    """The rows of each cell. As groupby, which makes a frame of each: 100 times slower."""
    place_N, cells = pd.factorize(curve["cell"])
    order_N = np.argsort(place_N, kind="stable")
    columns = {str(name): curve[name].to_numpy()[order_N] for name in curve}
    ends = np.cumsum(np.bincount(place_N, minlength=len(cells))).tolist()
    return {
        str(cell): {name: column[start:end] for name, column in columns.items()}
        for cell, start, end in zip(cells, [0, *ends], ends, strict=False)
    }


def with_curves(runs: pd.DataFrame, curve: pd.DataFrame) -> pd.DataFrame:
    """The runs with what their whole learning curves say."""
    lines = by_cell(curve)
    known = [lines.get(cell) for cell in runs["cell"]]
    return runs.assign(
        area=[math.nan if each is None else stats.area(each["spent"], each["score"]) for each in known],
        collapsed=[False if each is None else stats.collapsed(each["score"]) for each in known],
    )


def contrasts_of(store: Store, cells: pd.DataFrame) -> dict[str, dict[str, list[str]]]:
    """The declared contrasts, by the arms of `cells` (cell, arm), references left out."""
    compared = cells[~cells["cell"].isin(store.manifest["references"])]
    arms = dict(zip(compared["cell"], compared["arm"], strict=True))
    return {
        name: {
            side: sorted({arms[cell] for cell in members if cell in arms}) for side, members in sides.items()
        }
        for name, sides in store.manifest["contrasts"].items()
    }


def config_of(store: Store, runs: pd.DataFrame) -> Record:
    """The configuration of the first of `runs` that has one."""
    return next((store.configs[cell] for cell in runs["cell"] if cell in store.configs), {})
