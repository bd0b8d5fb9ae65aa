"""Arms over several environments: a seed's mean over them is one number, as seeds are the clusters."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from reports import learning, stats, tables
from reports.settings import Setting
from reports.svg import INK, WIDE, canvas, shortened
from reports.wording import signed

ALL = "all environments"
DIFFERENCES = ["environment", "arm", "difference", "low", "high", "seeds"]


@dataclass(frozen=True)
class Pool:
    """The settings of one model, and the arms that all of them compare."""

    model: str
    settings: Sequence[Setting]

    @property
    def environments(self) -> list[str]:
        """Their names."""
        return [setting.env for setting in self.settings]

    @property
    def measure(self) -> str:
        """What runs are compared by: `score`, which is success if an environment is not graded."""
        return "success" if all(setting.measure == "success" for setting in self.settings) else "score"

    @property
    def sesoi(self) -> float:
        """The declared smallest effect of interest, a difference in success."""
        return self.settings[0].sesoi

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds after which seeds may have ended."""
        return self.settings[0].looks

    @property
    def contestants(self) -> list[str]:
        """The arms that every environment has."""
        return [arm for arm in self.settings[0].contestants if all(arm in s.arms for s in self.settings)]

    @property
    def contrasts(self) -> dict[str, dict[str, list[str]]]:
        """The declared contrasts: arms on the `left` and on the `right`, by name."""
        found: dict[str, dict[str, set[str]]] = {}
        for setting in self.settings:
            for name, sides in setting.contrasts.items():
                for side, arms in sides.items():
                    found.setdefault(name, {}).setdefault(side, set()).update(arms)
        return {name: {side: sorted(arms) for side, arms in sides.items()} for name, sides in found.items()}

    def unit(self, arm: str) -> str:
        """What one advantage value of the arm belongs to: token, step, trajectory, or control."""
        return self.settings[0].unit(arm)

    @cached_property
    def finals(self) -> pd.DataFrame:
        """Final success, mean over environments: seeds x arms, NaN if an environment's run is missing."""
        return self.over([setting.finals for setting in self.settings])

    @cached_property
    def areas(self) -> pd.DataFrame:
        """Area under the learning curve, like `finals`."""
        return self.over([setting.areas for setting in self.settings])

    @cached_property
    def failed(self) -> pd.DataFrame:
        """Whether the algorithm broke a run of the seed, in any environment: seeds x arms."""
        return self.anywhere([setting.failed for setting in self.settings])

    @cached_property
    def collapsed(self) -> pd.DataFrame:
        """Whether a run of the seed collapsed or broke, in any environment: seeds x arms."""
        return self.anywhere([setting.collapsed for setting in self.settings])

    def anywhere(self, flags: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """Where one of several tables of seeds x arms says so."""
        index, columns = self.finals.index, self.contestants
        aligned = [each.reindex(index=index, columns=columns).eq(True) for each in flags]
        return pd.DataFrame(np.logical_or.reduce(aligned), index=index, columns=columns)

    def over(self, scores: Sequence[pd.DataFrame]) -> pd.DataFrame:
        """The mean of tables of seeds x arms, one per environment."""
        seeds = sorted(set().union(*(each.index for each in scores)))
        means = {
            arm: stats.over_environments(np.column_stack([each[arm].reindex(seeds) for each in scores]))
            for arm in self.contestants
        }
        return pd.DataFrame(means, index=pd.Index(seeds, name="seed"))


def pools(settings: Sequence[Setting]) -> list[Pool]:
    """One pool per model that has several environments and arms in all of them."""
    models = dict.fromkeys(setting.model for setting in settings)
    found = [Pool(model, [each for each in settings if each.model == model]) for model in models]
    return [pool for pool in found if len(pool.settings) > 1 and pool.contestants]


def profile_table(pool: Pool) -> pd.DataFrame:
    """Share of an arm's runs, those of all environments together, that end above each score."""
    return learning.profile_table(
        {arm: pd.concat([each.finals[arm] for each in pool.settings], axis=1) for arm in pool.contestants}
    )


def final_table(pool: Pool) -> pd.DataFrame:
    """One row per arm, best first: success over environments, with 95 % intervals over seeds."""
    rows = [
        {"arm": arm, "credit_unit": pool.unit(arm), **tables.located(pool.finals[arm], pool.areas[arm])}
        for arm in pool.contestants
        if pool.finals[arm].notna().any()
    ]
    frame = pd.DataFrame(rows)
    return frame if frame.empty else frame.sort_values("final_score", ascending=False, ignore_index=True)


def against_others(pool: Pool) -> pd.DataFrame:
    """Each arm minus the mean of the other arms that are not controls, by environment and over all.

    Differences are taken inside an environment and seed, if all arms have a score; t intervals over seeds.
    """
    by_place = {setting.env: setting.finals for setting in pool.settings} | {ALL: pool.finals}
    rows = []
    for place, finals in by_place.items():
        complete = finals[pool.contestants].dropna()
        for arm in pool.contestants:
            others = [each for each in pool.contestants if each != arm and pool.unit(each) != "control"]
            if others:
                found = stats.t_interval(complete[arm] - complete[others].mean(axis=1))
                rows.append([place, arm, found.estimate, found.low, found.high, found.n])
    return pd.DataFrame(rows, columns=DIFFERENCES)


def heat_map(table: pd.DataFrame, width: float) -> Figure:
    """Arms x environments, the arm that is best over all on top."""
    import seaborn  # late: it takes a second, and only pages about several environments have this figure

    places = list(dict.fromkeys(table["environment"]))
    values = table.pivot(index="arm", columns="environment", values="difference")[places]
    values = values.sort_values(ALL, ascending=False, na_position="last")
    said = table.assign(text=[tile(row) for _, row in table.iterrows()])
    texts = said.pivot(index="arm", columns="environment", values="text").loc[values.index, places]
    reach = max(0.1, float(np.nanmax(np.abs(values.to_numpy()), initial=0)))
    figure, axes = canvas(0.7 + 0.46 * len(values), width)
    shape: dict[str, Any] = {
        "linewidths": 2,
        "linecolor": "white",
        "cbar": False,
        "annot_kws": {"fontsize": 8 if width == WIDE else 6},
    }
    values = values.rename(index=shortened(list(values.index)))
    seaborn.heatmap(values, annot=texts, fmt="", cmap="PuOr", vmin=-reach, vmax=reach, ax=axes, **shape)
    axes.axvline(len(places) - 1, color=INK, linewidth=1.5)
    axes.xaxis.tick_top()
    axes.set(xlabel="", ylabel="")
    axes.grid(False)
    return figure


def tile(cell: "pd.Series[Any]") -> str:
    """A difference and its interval, if it has one."""
    between = f"\n{signed(cell['low'])} to {signed(cell['high'])}"
    return signed(cell["difference"]) + ("" if np.isnan(cell["low"]) else between)
