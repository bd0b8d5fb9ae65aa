"""The leading comparisons on other terms, against what the runs' own files say."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from harness.store import read_json, write_json
from reports.compare import compare
from reports.provenance import evaluation_error
from tests.reports.synthetic import write_lines, write_sweep

WINDOW = np.array([1.0, 0.9, 0.8])
"""The last three of ten evaluations, as shares of what was spent by then."""


def of(out: Path, terms: str) -> dict:
    table = pd.read_csv(out / "tables" / "equal-vault-tiny.csv").set_index("terms")
    return dict(table.loc[terms])


def curve(out: Path, cell: str) -> pd.DataFrame:
    """A run's evaluations."""
    lines = map(json.loads, (out / "runs" / cell / "metrics.jsonl").read_text().splitlines())
    return pd.DataFrame([line for line in lines if line["kind"] == "evaluation"])


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """Two arms on four seeds; ppo samples twice as many tokens, and really computes a quarter, not half."""
    out = tmp_path_factory.mktemp("equal")
    for cell in write_sweep(out, {"ppo": 0.4, "steppo": 0.8}, seeds=4):
        if cell.startswith("ppo-"):
            run = out / "runs" / cell
            lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
            write_lines(run / "metrics.jsonl", [{**line, "tokens": 2 * line["tokens"]} for line in lines])
            result = read_json(run / "result.json")
            for phase in result["ledger"]["phases"].values():
                phase["computed"] = phase["flops"] // 4
            write_json(run / "result.json", result)
    compare(out)
    return out


def test_at_the_whole_budget_it_is_the_lead_comparison(out):
    lead = pd.read_csv(out / "tables" / "credit-units-vault-tiny.csv").iloc[0]
    found = of(out, "100 % of the budget")
    for name in ("seeds", "left_mean", "right_mean", "difference", "low", "high"):
        assert found[name] == pytest.approx(lead[name]), name
    assert (found["left_share"], found["right_share"]) == (1, 1)


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_at_a_part_of_the_budget_curves_are_read_earlier(out, share):
    cells = read_json(out / "sweep.json")["cells"]
    limit = read_json(out / "runs" / cells[0] / "config.json")["budget"]["limit"]
    read = {
        name: np.array([
            np.interp(share * WINDOW * limit, line["flops"], line["success"]).mean()
            for line in (curve(out, cell) for cell in cells if cell.startswith(f"{name}-"))
        ])
        for name in ("ppo", "steppo")
    }  # fmt: skip
    differences = read["steppo"] - read["ppo"]
    found = of(out, f"{share:.0%}".replace("%", " % of the budget"))
    low, high = scipy_stats.t.interval(0.95, 3, differences.mean(), scipy_stats.sem(differences))
    assert (found["difference"], found["low"], found["high"]) == pytest.approx(
        (differences.mean(), low, high)
    )
    assert found["right_mean"] == pytest.approx(read["ppo"].mean())


@pytest.mark.parametrize(
    ("terms", "half", "whole"),
    [("equal sampled tokens", "right", "left"), ("equal computed FLOPs", "left", "right")],
)
def test_at_equal_amounts_who_spends_twice_as_much_is_read_at_half(out, terms, half, whole):
    """Twice the tokens of its rival; and the other way round, twice the computed FLOPs."""
    found = of(out, terms)
    assert found[f"{half}_share"] == pytest.approx(0.5, abs=0.01)
    assert found[f"{whole}_share"] == pytest.approx(1)
    assert found[f"{half}_mean"] == pytest.approx(of(out, "50 % of the budget")[f"{half}_mean"], abs=0.01)
    assert found[f"{whole}_mean"] == pytest.approx(of(out, "100 % of the budget")[f"{whole}_mean"])


def test_a_run_that_diverged_scores_nothing_on_any_terms(tmp_path):
    cells = write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.8}, seeds=3)
    for cell in (cell for cell in cells if cell.startswith("ppo-")):
        (tmp_path / "runs" / cell / "result.json").unlink()
        write_json(tmp_path / "runs" / cell / "failure.json", {"reason": "diverged", "kind": "algorithm"})
    compare(tmp_path)
    for terms in ("25 % of the budget", "equal sampled tokens", "equal computed FLOPs"):
        assert of(tmp_path, terms)["right_mean"] == 0
        assert of(tmp_path, terms)["left_mean"] > 0.1


def test_an_axis_that_was_not_measured_is_left_out(tmp_path):
    for cell in write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.8}, seeds=2):
        (tmp_path / "runs" / cell / "timing.jsonl").unlink()
    compare(tmp_path)
    terms = set(pd.read_csv(tmp_path / "tables" / "equal-vault-tiny.csv")["terms"])
    shares = {f"{share} % of the budget" for share in (100, 50, 25)}
    assert terms == shares | {"equal computed FLOPs", "equal sampled tokens"}


def test_the_evaluations_own_error_is_binomial():
    assert evaluation_error(0.75, 96) == pytest.approx(scipy_stats.binom(96, 0.75).std() / 96)
