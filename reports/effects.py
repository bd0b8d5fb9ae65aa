"""Effects of factors, each with the others held still: the models that a sweep declares."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports import stats
from reports.settings import Setting
from reports.store import Store


@dataclass(frozen=True)
class Effects:
    """What the models of a sweep say, over all its environments."""

    factors: list[str]
    score: stats.Fit
    """Linear mixed model of final success; effects are differences in success."""
    odds: stats.Fit
    """Binomial GEE of the successes in the final window; effects are log odds ratios."""


def effects_of(store: Store, settings: list[Setting]) -> Effects | None:
    """The fitted models; None if the sweep declares no factors."""
    factors, cells = list(store.manifest["model"]["factors"]), set(store.manifest["model"]["cells"])
    if not factors:
        return None
    runs = pd.concat([modelled(store, setting, factors, cells) for setting in settings], ignore_index=True)
    return Effects(factors, stats.mixed_model(runs, factors), stats.success_model(runs, factors))


def modelled(store: Store, setting: Setting, factors: list[str], cells: set[str]) -> pd.DataFrame:
    """The scored runs of a setting that the models take: score, counts of the final window, factors."""
    runs = setting.scored[setting.scored["cell"].isin(cells)]
    env, evaluation = setting.config["env"], setting.config["evaluation"]
    window, episodes = int(evaluation["window"]), int(env["eval_tasks"]) * int(evaluation["episodes"])
    rows = [
        {
            "environment": setting.slug,
            "seed": int(run["seed"]),
            "score": float(run["final_score"]) if run["state"] == "done" else stats.FAILED_SCORE,
            "successes": successes(setting, run, window, episodes),
            "episodes": window * episodes,
            **{factor: str(store.configs[run["cell"]]["algorithm"][factor]) for factor in factors},
        }
        for run in runs.to_dict("records")
    ]
    columns = ["environment", "seed", "score", "successes", "episodes", *factors]
    return pd.DataFrame(rows, columns=columns)


def successes(setting: Setting, run: Mapping[Any, Any], window: int, episodes: int) -> int:
    """Episodes of the last `window` evaluations that a run solved; one that diverged solves none."""
    if run["state"] != "done":
        return 0
    last = setting.lines[run["cell"]]["success"][-window:]
    return round(float(last.mean()) * window * episodes)


def odds_ratio(log_odds: float) -> float:
    """From a log odds ratio; infinite if that is too large for a number."""
    return math.exp(min(log_odds, 700.0))
