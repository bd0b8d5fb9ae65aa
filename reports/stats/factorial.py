"""The design of a factorial sweep and its contrasts, shared by the models.

Every combination of the factors (a cell) has a mean of its own, every environment a shift. An effect of a
factor is a difference between two of its levels, averaged over the levels of the others with equal weights.

Shape suffixes: N runs, C cells, P parameters (cells, then all environments but the first), Q rows of a
contrast, L levels of a factor.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import pandas as pd
from scipy import stats

from reports.stats.intervals import CONFIDENCE, Floats

EFFECTS = ["factor", "left", "right", "effect", "low", "high", "p"]
TERMS = ["term", "F", "df", "df_error", "p"]


class CannotFit(Exception):
    """The message is the reason."""


@dataclass(frozen=True)
class Fit:
    """Effects of the factors, or the reason why there are none."""

    effects: pd.DataFrame
    """One row per factor and pair of its levels, `left - right`; 95 % t intervals, not adjusted:
    `EFFECTS`."""
    terms: pd.DataFrame
    """One row a main effect or interaction (`credit:ratio`), by Wald's F: `TERMS`. NaN with too few seeds."""
    reason: str = ""
    """Why nothing was fitted; empty if something was."""


def no_fit(reason: str) -> Fit:
    """Empty tables and why."""
    return Fit(pd.DataFrame(columns=EFFECTS), pd.DataFrame(columns=TERMS), reason)


@dataclass(frozen=True)
class Design:
    """The columns of the model and what they mean."""

    levels: dict[str, list[object]]
    """Levels by factor, sorted."""
    columns_NP: Floats
    seeds: int


def design_of(runs: pd.DataFrame, factors: Sequence[str], environment: str, seed: str) -> Design:
    """The design of `runs`, one row per run; raises `CannotFit` if an effect could not be estimated."""
    names = [*factors, environment, seed]
    if absent := [name for name in names if name not in runs]:
        raise CannotFit(f"there is no column {absent[0]}")
    if runs[names].isna().any(axis=None):
        raise CannotFit("a factor, an environment or a seed is missing in some runs")
    levels: dict[str, list[object]] = {name: sorted(runs[name].unique()) for name in factors}
    if single := [name for name, each in levels.items() if len(each) < 2]:
        raise CannotFit(f"{single[0]} has one level only")
    seeds = int(runs[seed].nunique())
    if seeds < 2:
        raise CannotFit("there is one seed only")
    cells = list(itertools.product(*levels.values()))
    cell_N = list(runs[list(factors)].itertuples(index=False, name=None))
    if empty := [cell for cell in cells if cell not in set(cell_N)]:
        where = ", ".join(f"{name}={level}" for name, level in zip(factors, empty[0], strict=True))
        raise CannotFit(f"the factors are not crossed: no run has {where}")
    place = {cell: i for i, cell in enumerate(cells)}
    cells_NC = np.eye(len(cells))[[place[cell] for cell in cell_N]]
    shifts = [
        (runs[environment] == name).to_numpy(dtype=float) for name in sorted(runs[environment].unique())
    ]
    columns_NP = np.column_stack([cells_NC, *shifts[1:]])
    if np.linalg.matrix_rank(columns_NP) < columns_NP.shape[1]:
        raise CannotFit("environments and factors are not crossed: their effects cannot be told apart")
    return Design(levels, columns_NP, seeds)


def tables(design: Design, beta_P: Floats, covariance_PP: Floats, df_error: int, sandwich: bool) -> Fit:
    """The effects and tests of a fitted model; raises `CannotFit` if its covariance is unusable.

    `sandwich`: the covariance matrix was estimated from df_error + 1 clusters, not scaled by one variance.
    Terms of several rows are then tested by Hotelling's T-squared.
    """
    if not np.isfinite(covariance_PP).all() or (np.diag(covariance_PP) <= 0).any():
        raise CannotFit("the standard errors are not finite")
    return Fit(
        pd.DataFrame(effect_rows(design, beta_P, covariance_PP, df_error), columns=EFFECTS),
        pd.DataFrame(term_rows(design, beta_P, covariance_PP, df_error, sandwich), columns=TERMS),
    )


def effect_rows(
    design: Design, beta_P: Floats, covariance_PP: Floats, df_error: int
) -> list[dict[str, object]]:
    """Every pair of levels of every factor."""
    rows: list[dict[str, object]] = []
    reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, df_error))
    for factor, levels in design.levels.items():
        for i, j in itertools.combinations(range(len(levels)), 2):
            unit_L = np.eye(len(levels))
            (contrast_P,) = contrast(design, {factor: unit_L[[i]] - unit_L[[j]]})
            effect = float(contrast_P @ beta_P)
            error = float(np.sqrt(contrast_P @ covariance_PP @ contrast_P))
            rows.append(
                {
                    "factor": factor,
                    "left": levels[i],
                    "right": levels[j],
                    "effect": effect,
                    "low": effect - reach * error,
                    "high": effect + reach * error,
                    "p": float(2 * stats.t.sf(abs(effect) / error, df_error)),
                }
            )
    return rows


def term_rows(
    design: Design, beta_P: Floats, covariance_PP: Floats, df_error: int, sandwich: bool
) -> list[dict[str, object]]:
    """Every main effect and interaction, main effects first."""
    rows: list[dict[str, object]] = []
    names = list(design.levels)
    for term in (t for size in range(1, len(names) + 1) for t in itertools.combinations(names, size)):
        contrast_QP = contrast(design, {name: steps(len(design.levels[name])) for name in term})
        effect_Q = contrast_QP @ beta_P
        df = len(effect_Q)
        left = df_error - df + 1 if sandwich else df_error
        f = p = float("nan")
        if left >= 1:
            wald = effect_Q @ np.linalg.solve(contrast_QP @ covariance_PP @ contrast_QP.T, effect_Q)
            f = float(wald) / df * (left / df_error)
            p = float(stats.f.sf(f, df, left))
        rows.append({"term": ":".join(term), "F": f, "df": df, "df_error": left, "p": p})
    return rows


def contrast(design: Design, parts: dict[str, Floats]) -> Floats:
    """Rows over the parameters (Q x P): the given rows of some factors, the mean over the others' levels."""
    rows = [
        parts.get(name, np.full((1, len(levels)), 1 / len(levels))) for name, levels in design.levels.items()
    ]
    over_cells = reduce(np.kron, rows)
    environments = design.columns_NP.shape[1] - over_cells.shape[1]
    return np.column_stack([over_cells, np.zeros((len(over_cells), environments))])


def steps(levels: int) -> Floats:
    """Differences of neighbouring levels (L - 1 x L): all 0 if the factor has no effect."""
    return np.asarray(np.diff(np.eye(levels), axis=0), dtype=float)
