"""Factors together: the report's models find the effects that a factorial store was made with."""

import numpy as np
import pytest

from harness.compose import compose_sweep
from harness.compose.contrasts import factorial
from harness.errors import UserError
from harness.store import read_json, write_json
from reports.compare import compare
from reports.effects import effects_of, modelled
from reports.settings import settings
from reports.store import read_store
from tests.reports.synthetic import write_run

ARMS = {"steppo": 0.8, "steppo_token_ratio": 0.7, "steppo_token_credit": 0.5, "steppo_neither": 0.4}
"""Credit per step is worth 0.3, the ratio per step 0.1, and they add up."""


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("factorial")
    noise = np.random.default_rng(3)
    cells = []
    for seed in range(6):
        shared = noise.normal(0, 0.05)
        for arm, level in ARMS.items():
            cells.append(write_run(out, arm, seed, level + shared + noise.normal(0, 0.01), noise, "vault"))
    model = {"factors": ["credit_unit", "ratio_unit"], "cells": cells}
    write_json(out / "sweep.json", {"name": "factorial", "cells": cells, "model": model})
    return out


def test_effects_come_out(out):
    store = read_store(out)
    effects = effects_of(store, settings(store))
    assert effects.score.reason == effects.odds.reason == ""
    found = effects.score.effects.set_index("factor")
    assert found.loc["credit_unit", "effect"] == pytest.approx(0.3, abs=0.06)
    assert found.loc["ratio_unit", "effect"] == pytest.approx(0.1, abs=0.06)
    assert found.loc["credit_unit", "left"] == "step"
    assert found.loc["credit_unit", "p"] < 0.001
    finals = settings(store)[0].finals
    means = finals.mean()
    credit = (means["steppo"] + means["steppo_token_ratio"]) / 2
    token = (means["steppo_token_credit"] + means["steppo_neither"]) / 2
    assert found.loc["credit_unit", "effect"] == pytest.approx(credit - token, abs=1e-6), "a complete design"


def test_success_is_counted_over_the_final_window(out):
    store = read_store(out)
    (setting,) = settings(store)
    rows = modelled(store, setting, ["credit_unit"], set(store.manifest["cells"])).to_dict("records")
    evaluation, tasks = setting.config["evaluation"], setting.config["env"]["eval_tasks"]
    window, episodes = evaluation["window"], evaluation["episodes"] * tasks
    assert window > 1
    for row, cell in zip(rows, setting.runs["cell"], strict=True):
        last = read_json(out / "runs" / cell / "result.json")["scores"][-window:]
        assert row["successes"] == round(sum(last) * episodes)
        assert row["episodes"] == window * episodes


def test_the_page_has_them_and_the_json_too(out, tmp_path):
    page = compare(out, tmp_path).read_text()
    assert "Factors together" in page
    models = read_json(tmp_path / "report.json")["models"]
    assert {row["factor"] for row in models["model-effects"]} == {"credit_unit", "ratio_unit"}


def test_what_cannot_be_fitted_says_why(out, tmp_path):
    manifest = read_json(out / "sweep.json")
    kept = [cell for cell in manifest["cells"] if not cell.startswith("steppo_neither")]
    model = {"factors": ["credit_unit", "ratio_unit"], "cells": kept}
    (tmp_path / "runs").symlink_to(out / "runs")
    write_json(tmp_path / "sweep.json", {**manifest, "cells": kept, "model": model})
    page = compare(tmp_path).read_text()
    assert "Not fitted:" in page


def test_factors_are_checked_before_anything_runs():
    sweep, _, cells = compose_sweep(["+sweep=step_vs_token"])
    assert {cell.algorithm.name for cell in factorial(sweep, cells)} == set(ARMS)
    with pytest.raises(UserError, match="half_life is not an option of"):
        factorial(*broken())


def broken():
    sweep, _, cells = compose_sweep(["+sweep=step_vs_token", "sweep.factors=[half_life]"])
    return sweep, cells
