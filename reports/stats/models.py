"""Models of a factorial sweep: which factor moves the score, with the others held still.

Seeds are clusters. A model that cannot be fitted says why, it does not raise. What an effect is:
`reports/stats/factorial.py`.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.stats.factorial import CannotFit, Fit, design_of, no_fit, tables
from reports.stats.intervals import Floats


def mixed_model(
    runs: pd.DataFrame,
    factors: Sequence[str],
    score: str = "score",
    environment: str = "environment",
    seed: str = "seed",
) -> Fit:
    """Linear mixed model: score ~ crossed factors + environment + (1 | seed), by REML (statsmodels' MixedLM).

    `runs`: one row per run with the named columns. Effects are in the unit of the score. Tests use t and F
    with N - seeds - parameters + 1 degrees of freedom, exact for a complete design; statsmodels' own z is
    narrower. Powell's method finds the variance between seeds even if it is 0, where gradient methods give
    up.

    An effect that itself differs from seed to seed (a credit x seed interaction) is not in the model and
    makes its intervals too narrow: the paired test and `success_model` hold then (docs/statistics.md).
    """
    from statsmodels.regression.mixed_linear_model import MixedLM  # half a second, for factorial sweeps alone

    try:
        design = design_of(runs, factors, environment, seed)
        scores_N = runs[score].to_numpy(dtype=float)
        if np.isnan(scores_N).any():
            raise CannotFit(f"{int(np.isnan(scores_N).sum())} runs have no {score}")
        parameters = design.columns_NP.shape[1]
        df_error = len(runs) - design.seeds - parameters + 1
        if df_error < 1:
            raise CannotFit(f"{len(runs)} runs leave no degrees of freedom for the error")
        if np.ptp(within(scores_N, design.columns_NP, runs[seed])) < 1e-9:
            raise CannotFit(f"{score} does not vary beyond factors, environment and seed")
        model = MixedLM(scores_N, design.columns_NP, groups=runs[seed].to_numpy())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is read off the result
            fit = model.fit(reml=True, method="powell")
        if not fit.converged:
            raise CannotFit("REML did not converge")
        covariance_PP = np.asarray(fit.cov_params())[:parameters, :parameters]
        return tables(design, np.asarray(fit.fe_params), covariance_PP, df_error, sandwich=False)
    except np.linalg.LinAlgError:
        return no_fit("REML met a singular matrix")
    except CannotFit as reason:
        return no_fit(str(reason))


def within(scores_N: Floats, columns_NP: Floats, seed_N: "pd.Series[Any]") -> Floats:
    """Residuals of least squares on the columns and the seeds."""
    blocks = np.column_stack([columns_NP, pd.get_dummies(seed_N).to_numpy(dtype=float)])
    return np.asarray(scores_N - blocks @ np.linalg.lstsq(blocks, scores_N, rcond=None)[0], dtype=float)


def success_model(
    runs: pd.DataFrame,
    factors: Sequence[str],
    successes: str = "successes",
    episodes: str = "episodes",
    environment: str = "environment",
    seed: str = "seed",
) -> Fit:
    """Binomial GEE of success counts, clustered on seed (statsmodels' GEE, independence working correlation).

    Effects are log odds ratios averaged over the population of seeds. Standard errors are Mancl & DeRouen's
    bias-reduced sandwich, tests t and F with seeds - 1 degrees of freedom: the plain sandwich with z is too
    narrow below some 40 clusters. Every run has the same number of episodes, as a frozen panel gives them, so
    that runs weigh alike. A cell in which all or no episodes succeed has no finite log odds.
    """
    from statsmodels.genmod.cov_struct import Independence
    from statsmodels.genmod.families import Binomial
    from statsmodels.genmod.generalized_estimating_equations import GEE

    try:
        design = design_of(runs, factors, environment, seed)
        if runs[[successes, episodes]].isna().any(axis=None) or runs[episodes].nunique() != 1:
            raise CannotFit(f"runs differ in {episodes}: score all of them on the same panel")
        rate_N = (runs[successes] / runs[episodes]).to_numpy(dtype=float)
        mean_P = design.columns_NP.T @ rate_N / design.columns_NP.sum(axis=0)
        if ((mean_P <= 0) | (mean_P >= 1)).any():
            raise CannotFit("all or no episodes of a combination succeed: log odds are infinite")
        model = GEE(
            rate_N, design.columns_NP, runs[seed].to_numpy(), family=Binomial(), cov_struct=Independence()
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what they say is read off the result
            fit = model.fit(cov_type="bias_reduced")
        if not fit.converged:
            raise CannotFit("the estimating equations did not converge")
        return tables(
            design, np.asarray(fit.params), np.asarray(fit.cov_params()), design.seeds - 1, sandwich=True
        )
    except np.linalg.LinAlgError:
        return no_fit("the estimating equations met a singular matrix")
    except CannotFit as reason:
        return no_fit(str(reason))
