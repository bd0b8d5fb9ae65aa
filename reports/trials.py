"""The trials of a tuning, read from its store: scores, winners, cost."""

import math
from collections.abc import Mapping

import pandas as pd

from harness.cells import Record
from harness.compose.frozen import METRIC, Frozen, Trial, Tuned, setting_of
from harness.config.plain import run_config
from reports import stats
from reports.settings import by_cell
from reports.store import Store
from reports.tables import OUTSIDE

DIGITS = 6
"""Of scores and areas: equal runs must not be told apart by rounding."""


def collect(store: Store) -> Frozen | None:
    """What a tuning has found so far, undated; None if the store is not a tuning, or has not begun.

    Trials that have not ended have the mean of the seeds that have.
    """
    record = store.manifest["tuning"]
    if record is None:
        return None
    runs = ended_runs(store, record)
    config = next(
        (store.configs[cell] for cell in runs[runs["trial"] == 0]["cell"] if cell in store.configs), None
    )
    if config is None:
        return None
    default_lr = float(config["model"]["lr"])
    rates = [float(point.get("model.lr", default_lr)) for point in record["points"]]
    hashes = runs["panel_hash"].dropna()
    algorithms = {
        str(name): tuned(mine, record["points"], rates, default_options(store, mine))
        for name, mine in runs.groupby("algorithm", sort=False)
    }
    return Frozen(
        date="",
        metric=METRIC,
        commit=str(store.manifest["commit"]),
        seeds=sorted({int(seed) for seed in runs["seed"]}),
        flops=sum(each.flops for each in algorithms.values()),
        panel_hash="" if hashes.empty else str(hashes.iloc[0]),
        setting=setting_of(config, run_config(config).env.version),
        knobs=list(store.manifest["knobs"]),
        points=list(record["points"]),
        algorithms=algorithms,
    )


def ended_runs(store: Store, record: Mapping[str, Record]) -> pd.DataFrame:
    """The runs with algorithm and trial, `score`, `area` and `flops`.

    A run that the algorithm broke scores 0; one without a result for another reason has NaN.
    """
    areas = {cell: stats.area(lines["spent"], lines["score"]) for cell, lines in by_cell(store.curve).items()}
    inside = store.phases[~store.phases["phase"].isin(OUTSIDE)]
    # A failed run has no ledger: what it had spent at its last evaluation is known.
    spent = {**store.curve.groupby("cell")["flops"].max(), **inside.groupby("cell")["flops"].sum()}
    runs = store.runs.copy()
    for place, column in enumerate(("algorithm", "trial")):
        runs[column] = [record["cells"][cell][place] for cell in runs["cell"]]
    failed, done = stats.broken_by_algorithm(runs), runs["state"] == "done"
    runs["score"] = runs["final_score"].astype(float).where(done).mask(failed, 0.0)
    runs["area"] = runs["cell"].map(areas).astype(float).where(done).mask(failed, 0.0)
    runs["flops"] = [int(spent.get(cell, 0)) for cell in runs["cell"]]
    return runs


def tuned(runs: pd.DataFrame, points: list[dict[str, float]], rates: list[float], options: Record) -> Tuned:
    """One algorithm's trials, and which won if all have ended."""
    trials = [trial(runs[runs["trial"] == number]) for number in range(len(points))]
    order = sorted(range(len(trials)), key=lambda i: (-trials[i].score, -trials[i].area, rates[i], i))
    winner = -1 if runs["score"].isna().any() else order[0]
    return Tuned(
        winner=winner,
        overrides=points[winner] if winner >= 0 else {},
        flops=int(runs["flops"].sum()),
        options=options,
        trials=trials,
    )


def trial(runs: pd.DataFrame) -> Trial:
    """The runs of one setting."""
    ended = runs.dropna(subset="score").sort_values("seed")
    return Trial(
        score=mean(ended["score"]),
        area=mean(ended["area"]),
        scores={int(s): round(float(x), DIGITS) for s, x in zip(ended["seed"], ended["score"], strict=True)},
        failed=[int(seed) for seed in ended[ended["state"] == "failed"]["seed"]],
    )


def mean(values: pd.Series) -> float:
    """The mean in `DIGITS` digits; NaN of nothing."""
    return round(float(values.mean()), DIGITS) if len(values) else math.nan


def default_options(store: Store, runs: pd.DataFrame) -> Record:
    """The algorithm's options in trial 0, if one of its runs has begun."""
    default = runs[runs["trial"] == 0]["cell"]
    return next((dict(store.configs[cell]["algorithm"]) for cell in default if cell in store.configs), {})
