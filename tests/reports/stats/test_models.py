"""The factorial models against statsmodels' formulas and exact analysis of variance; failures say why."""

import itertools

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

from reports import stats

FACTORS = ["credit", "ratio"]


def sweep(seeds: int = 6, seed_sd: float = 0.1, credits: tuple[str, ...] = ("step", "token")) -> pd.DataFrame:
    """Credit per step adds .1, only with the sequence ratio another .08."""
    draw = np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        level = 0.5 + seed_sd * draw.standard_normal()
        for credit, ratio, environment in itertools.product(
            credits, ("sequence", "token"), ("home", "vault")
        ):
            gain = (credit == "step") * (0.1 + 0.08 * (ratio == "sequence")) + 0.05 * (environment == "home")
            rows.append((seed, credit, ratio, environment, level + gain + 0.04 * draw.standard_normal()))
    frame = pd.DataFrame(rows, columns=["seed", "credit", "ratio", "environment", "score"])
    rates = frame["score"].clip(0.02, 0.98)
    return frame.assign(episodes=256, successes=draw.binomial(256, rates))


def test_mixed_model_is_statsmodels_and_exact_anova():
    frame = sweep()
    found = stats.mixed_model(frame, FACTORS)
    assert found.reason == ""
    formula = "score ~ C(credit, Sum) * C(ratio, Sum) + C(environment)"
    theirs = smf.mixedlm(formula, frame, groups=frame["seed"]).fit(reml=True, method="powell")
    credit = found.effects.iloc[0]
    assert (credit["factor"], credit["left"], credit["right"]) == ("credit", "step", "token")
    # Sum coding: the coefficient is half of the difference.
    assert credit["effect"] == pytest.approx(2 * theirs.params["C(credit, Sum)[S.step]"], abs=1e-6)
    blocks = smf.ols(formula + " + C(seed)", frame).fit()
    low, high = 2 * blocks.conf_int().loc["C(credit, Sum)[S.step]"]
    assert (credit["low"], credit["high"]) == pytest.approx((low, high), abs=1e-4)
    anova = sm.stats.anova_lm(blocks, typ=2)
    for term, theirs_name in (
        ("credit", "C(credit, Sum)"),
        ("ratio", "C(ratio, Sum)"),
        ("credit:ratio", "C(credit, Sum):C(ratio, Sum)"),
    ):
        row = found.terms.set_index("term").loc[term]
        assert row["F"] == pytest.approx(anova.loc[theirs_name, "F"], rel=1e-2)
        assert row["df_error"] == anova.loc["Residual", "df"]


def test_three_levels_have_three_differences_and_two_degrees_of_freedom():
    frame = sweep(credits=("step", "token", "trajectory"))
    found = stats.mixed_model(frame, FACTORS)
    pairs = found.effects[found.effects["factor"] == "credit"]
    means = frame.groupby("credit")["score"].mean()
    for row in pairs.itertuples():
        assert row.effect == pytest.approx(means[row.left] - means[row.right], abs=1e-6)
    assert len(pairs) == 3
    assert found.terms.set_index("term")["df"].to_dict() == {"credit": 2, "ratio": 1, "credit:ratio": 2}
    success = stats.success_model(frame, FACTORS).terms.set_index("term")
    assert success["df_error"].to_dict() == {"credit": 4, "ratio": 5, "credit:ratio": 4}


def test_no_variance_between_seeds_is_fitted():
    assert stats.mixed_model(sweep(seed_sd=0.0), FACTORS).reason == ""


def test_success_model_is_statsmodels():
    frame = sweep(10)
    found = stats.success_model(frame, FACTORS)
    formula = "I(successes / episodes) ~ C(credit, Sum) * C(ratio, Sum) + C(environment)"
    theirs = smf.gee(
        formula, "seed", frame, family=sm.families.Binomial(), cov_struct=sm.cov_struct.Independence()
    ).fit(cov_type="bias_reduced")
    credit = found.effects.iloc[0]
    name = "C(credit, Sum)[S.step]"
    assert credit["effect"] == pytest.approx(2 * theirs.params[name], abs=1e-6)
    half = (credit["high"] - credit["low"]) / 2
    assert half == pytest.approx(2 * theirs.bse[name] * 2.262157, rel=1e-5), "t with 9 degrees of freedom"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda f: f[~((f["credit"] == "step") & (f["ratio"] == "token"))],
            "no run has credit=step, ratio=token",
        ),
        (lambda f: f[f["credit"] == "step"], "credit has one level only"),
        (lambda f: f[f["seed"] == 0], "one seed only"),
        (lambda f: f.drop(columns="ratio"), "no column ratio"),
        (lambda f: f.assign(environment=f["credit"]), "cannot be told apart"),
        (lambda f: f.assign(ratio=f["ratio"].where(f["seed"] > 0)), "missing in some runs"),
    ],
)
def test_what_a_sweep_cannot_tell_is_said(change, reason):
    for model in (stats.mixed_model, stats.success_model):
        found = model(change(sweep()), FACTORS)
        assert reason in found.reason
        assert (len(found.effects), len(found.terms)) == (0, 0)


def test_scores_that_no_model_fits():
    frame = sweep()
    assert "does not vary" in stats.mixed_model(frame.assign(score=0.5), FACTORS).reason
    additive = frame.assign(score=0.1 * frame["seed"] + 0.2 * (frame["credit"] == "step"))
    assert "does not vary" in stats.mixed_model(additive, FACTORS).reason
    holed = frame.assign(score=frame["score"].where(frame.index > 0))
    assert "1 runs have no score" in stats.mixed_model(holed, FACTORS).reason
    few = frame[(frame["environment"] == "home") & (frame["seed"] < 2)].iloc[[0, 1, 2, 7]]
    assert "no degrees of freedom" in stats.mixed_model(few, FACTORS).reason
    perfect = frame.assign(successes=frame["successes"].where(frame["credit"] == "token", 256))
    assert "infinite" in stats.success_model(perfect, FACTORS).reason
    uneven = frame.assign(episodes=frame["episodes"] + (frame["seed"] == 0))
    assert "same panel" in stats.success_model(uneven, FACTORS).reason
