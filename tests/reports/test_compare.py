"""The report: right signs, unfinished and damaged stores, and a page that a browser opens offline."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from playwright.sync_api import expect

from harness.errors import UserError
from harness.store import read_json, write_json
from reports.compare import compare, main
from tests.reports.synthetic import TYPICAL, write_sweep

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
"""Screenshots, to be looked at."""


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / "tables" / f"{name}-vault-tiny.csv")


@pytest.fixture(scope="module")
def full(tmp_path_factory) -> Path:
    """Six algorithms, ten seeds, known effects; reported."""
    out = tmp_path_factory.mktemp("full")
    write_sweep(out, TYPICAL, seeds=10)
    compare(out)
    return out


def test_known_effects_come_out(full):
    final = table(full, "final")
    assert list(final["arm"])[:2] == ["g2po", "gigpo"]
    for row in final.itertuples():
        assert row.low < TYPICAL[row.arm] + 0.05
        assert row.high > TYPICAL[row.arm] - 0.05
    declared = table(full, "step-against-others").set_index(["left", "right"])
    assert declared.loc[("g2po", "ppo"), "verdict"] == "better"
    pairs = table(full, "all-pairs").set_index(["left", "right"])
    assert set(pairs["verdict"]) == {"exploratory"}
    assert pairs.loc[("g2po", "ppo"), "difference"] == pytest.approx(0.3, abs=0.06)
    close = [pair for pair in pairs.index if set(pair) == {"ppo", "appo"}]
    assert abs(pairs.loc[close[0], "difference"]) < 0.06
    units = table(full, "credit-units").set_index("right")
    assert (units["difference"] > 0.1).all()


def test_declared_contrasts_lead_the_page(tmp_path):
    """The difference of the sides' means, seed by seed: worked out here from the runs' own results."""
    cells = write_sweep(tmp_path, {"ppo": 0.3, "steppo": 0.7, "g2po": 0.8}, seeds=6)
    of = {arm: [cell for cell in cells if cell.startswith(f"{arm}-")] for arm in ("ppo", "steppo", "g2po")}
    manifest = read_json(tmp_path / "sweep.json")
    manifest["contrasts"] = {"step − token": {"left": of["steppo"] + of["g2po"], "right": of["ppo"]}}
    write_json(tmp_path / "sweep.json", manifest)
    page = compare(tmp_path).read_text()
    finals = {
        arm: [read_json(tmp_path / "runs" / cell / "result.json")["final_success"] for cell in mine]
        for arm, mine in of.items()
    }
    expected = [
        (step + graph) / 2 - token
        for step, graph, token in zip(finals["steppo"], finals["g2po"], finals["ppo"], strict=True)
    ]
    (row,) = table(tmp_path, "contrasts").to_dict("records")
    assert row["difference"] == pytest.approx(sum(expected) / 6)
    assert (row["left"], row["right"], row["label"]) == ("g2po, steppo", "ppo", "step − token")
    assert row["p"] == pytest.approx(2 / 2**6)
    assert "Contrasts that the sweep declared" in page


def test_compute_adds_up(full):
    phases = table(full, "phases").dropna(subset="share")
    assert phases.groupby("arm")["share"].sum().to_numpy() == pytest.approx(1)
    assert set(table(full, "compute")["arm"]) == set(TYPICAL)


def test_the_same_store_gives_the_same_bytes(full, tmp_path):
    compare(full, tmp_path)
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert path.read_bytes() == (full / path.relative_to(tmp_path)).read_bytes(), path.name


def test_few_seeds_prove_nothing(tmp_path):
    write_sweep(tmp_path, {"ppo": 0.2, "steppo": 0.9}, seeds=3)
    page = compare(tmp_path).read_text()
    assert "Nothing can be proved with 3 paired seeds" in page
    assert set(table(tmp_path, "step-against-others")["verdict"]) == {"undecided"}


def test_one_seed_has_no_intervals(tmp_path):
    write_sweep(tmp_path, {"ppo": 0.2, "steppo": 0.9}, seeds=1)
    assert "1 paired seed:" in compare(tmp_path).read_text()
    assert table(tmp_path, "final")["low"].isna().all()


def test_what_is_not_drawn_is_said(tmp_path):
    write_sweep(tmp_path, {"ppo": 0.2, "grpo": 0.6}, seeds=21)
    page = compare(tmp_path).read_text()
    data = page[page.index('id="data-seeds-vault-tiny"') :]
    assert data[: data.index("</script>")].count("\nppo,") == 20 * 11, "20 of the 21 curves"
    assert "Of more than 20 seeds, 20 are drawn" in page
    assert "Of more than 40 seeds" not in page


def test_one_arm_is_a_page_too(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.5}, seeds=3)
    page = compare(tmp_path).read_text()
    assert "grpo" in page
    assert len(table(tmp_path, "final")) == 1


def test_arms_that_start_apart_are_named(tmp_path):
    cells = write_sweep(tmp_path, {"grpo": 0.5, "ppo": 0.6}, seeds=2)
    assert "same weights" not in compare(tmp_path).read_text()
    path = tmp_path / "runs" / cells[0] / "result.json"
    write_json(path, {**read_json(path), "start_hash": "0" * 64 + "f"})
    assert "did not start from the same weights (seed 0)" in compare(tmp_path).read_text()


def test_rollouts_that_were_overlapped_are_named(tmp_path):
    cells = write_sweep(tmp_path, {"grpo": 0.5, "ppo": 0.6}, seeds=2)
    assert "rollout.overlap" not in compare(tmp_path).read_text()
    for cell in cells:
        path = tmp_path / "runs" / cell / "config.json"
        config = read_json(path)
        config["rollout"]["overlap"] = cell.startswith("ppo-")
        write_json(path, config)
    assert "ppo: played while the weights were updated (rollout.overlap)" in compare(tmp_path).read_text()


def test_controls_take_part_in_no_comparison_of_credit_units(tmp_path):
    cells = write_sweep(tmp_path, {"ppo": 0.2, "steppo": 0.9, "g2po": 0.95}, seeds=2)
    manifest = read_json(tmp_path / "sweep.json")
    controls = [cell for cell in cells if cell.startswith("g2po-")]
    write_json(tmp_path / "sweep.json", {**manifest, "controls": controls})
    compare(tmp_path)
    final = table(tmp_path, "final").set_index("arm")
    assert final.loc["g2po", "credit_unit"] == "control"
    assert set(table(tmp_path, "step-against-others")["left"]) == {"steppo"}


def test_unfinished_failed_and_damaged_cells_are_listed(tmp_path):
    cells = write_sweep(tmp_path, {"ppo": 0.4, "grpo": 0.5, "steppo": 0.6}, seeds=2)
    runs = tmp_path / "runs"
    (runs / cells[0] / "result.json").unlink()
    (runs / cells[1] / "result.json").unlink()
    (runs / cells[1] / "failure.json").write_text('{"reason": "FloatingPointError: diverged"}')
    (runs / cells[1] / "log.txt").write_text("".join(f"line {n} of the log\n" for n in range(30)))
    (runs / cells[2] / "result.json").write_text('{"final_succ')
    with (runs / cells[3] / "metrics.jsonl").open("a") as file:
        file.write('{"torn')
    shutil.rmtree(runs / cells[4])
    shutil.copytree(runs / cells[5], runs / "grpo-vault-tiny-s9-0000000000")
    page = compare(tmp_path).read_text()
    states = table(tmp_path, "runs").set_index("cell")["state"]
    assert list(states[cells]) == ["interrupted", "failed", "damaged", "done", "waiting", "done"]
    assert "FloatingPointError: diverged" in page
    assert "line 29 of the log" in page
    assert "line 9 of the log" not in page, "its end is shown"
    assert page.count("python -m harness.run algorithm=grpo env=vault") == 1, "once for its seeds"
    assert f"{cells[2]}/result.json: not a JSON object" in page
    assert "1 other run in this directory" in page


def test_a_sweep_without_a_result_is_a_page_too(tmp_path):
    for cell in write_sweep(tmp_path, {"ppo": 0.4, "grpo": 0.5}, seeds=1):
        (tmp_path / "runs" / cell / "result.json").unlink()
    assert "No run has finished yet." in compare(tmp_path).read_text()


def test_several_environments_are_kept_apart(tmp_path):
    write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5}, seeds=2, envs=("vault", "household"))
    page = compare(tmp_path).read_text()
    assert page.index("household, model tiny") < page.index("vault, model tiny")


@pytest.mark.parametrize("content", [None, "{torn", '{"cells": []}', '{"cells": ["../../etc"]}'])
def test_no_sweep_is_one_line_and_exit_2(content, tmp_path, capsys):
    if content is not None:
        (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(UserError, match=r"sweep\.json"):
        compare(tmp_path)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "report.html").exists()


def test_the_page_is_one_file(full):
    page = (full / "report.html").read_text()
    assert len(page) < 2_000_000
    outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)([^"']+)""", page)
    assert outside == []
    assert "@import" not in page
    assert json.dumps("url(http") not in page


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_a_browser_shows_it(full, browser, width, height, tmp_path):
    """From the disk, without requests or console messages; the axis switch and the copy button work."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((full / "report.html").as_uri())
    assert page.get_by_role("heading", name="Final success").is_visible()
    shown = page.locator(".switch .panel:visible svg")
    titles = []
    for label in ("training FLOPs (the budget)", "sampled tokens", "environment steps", "device seconds"):
        page.locator("label").get_by_text(label, exact=True).click()
        assert shown.count() == 1
        titles.append(shown.get_attribute("aria-label"))
    assert len(set(titles)) == 4
    page.locator("button.copy").first.click()
    expect(page.locator("button.copy").first).to_have_text("Copied")  # waits: copying is asynchronous
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "only figures and tables scroll"
    page.screenshot(path=ARTEFACTS / f"report-{width}.png", full_page=True)
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()
