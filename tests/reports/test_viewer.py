"""The page of recorded episodes: the right numbers in a real browser, bad files named, full pages honest."""

import gzip
import json
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from algorithms.base import Credit
from algorithms.ppo import PPO
from harness.config import classes
from harness.credit import built, credited, read, result_lines
from harness.store import read_json
from reports import viewer
from reports.compare import compare
from reports.recorded import turns
from reports.viewer import main
from tests.harness.recorded import complete, step, text, trajectory
from tests.reports.synthetic import write_sweep

TRAP = "</script><b id=trap>"
HALF = 0.5 / (0.5**0.5 + 1e-6)
"""GRPO's advantage of the better of two, by hand: (1 - 1/2) over the sample deviation of 1 and 0."""


def a_pair() -> str:
    """Two attempts at one task, one of them solved in two steps."""
    words = {"tokens": ["go", "<end>"], "action": "go"}
    solved = [
        {**step(0, 2, observation=TRAP), **words},
        {**step(1, 2, observation="a safe", valid=False), **words},
    ]
    return text(
        [
            trajectory("a", *solved, task="crack", goal="open the safe"),
            trajectory("b", {**step(0, 2, observation="a hall"), **words}, task="crack"),
        ]
    )


def embedded(page: Path) -> list[dict]:
    """The runs in a page's data."""
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text())[1])["runs"]


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_a_browser_shows_the_right_numbers(browser, width, height, tmp_path):
    """From the disk, without requests or console messages; by mouse and by keyboard."""
    file, out = tmp_path / "pair.jsonl", tmp_path / "page.html"
    file.write_text(a_pair())
    assert main([str(file), "--algorithms", "grpo,ppo", "--out", str(out)]) == 0
    context = browser.new_context(viewport={"width": width, "height": height})
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(out.as_uri())
    assert "crack, episode 1 of 2" in page.locator("#summary").inner_text()
    assert page.locator("#goal").inner_text() == "Goal: open the safe"
    assert TRAP in page.locator(".say").first.inner_text()
    assert page.locator("#trap").count() == 0
    shown = f"+{HALF:.6g}"
    tokens = page.locator("#talk .token")
    assert tokens.count() == 4
    assert [tokens.nth(i).get_attribute("title") for i in range(4)] == [f"grpo: {shown} (+1.00 rms)"] * 4
    assert shown in tokens.first.text_content(), "also to who can neither hover nor see"
    assert page.locator("#talk .sums").first.text_content().split() == ["mean", "+0.707Σ", "+1.41"]
    assert "plus" in tokens.first.get_attribute("class")
    assert "invalid" in page.locator("tr.step").nth(1).inner_text()
    assert "ppo needs values" in page.locator("#missing").inner_text()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.locator("tr.here").get_attribute("data-step") == "1"
    assert page.locator("tr.detail tbody td").all_inner_texts() == [shown, shown]
    page.locator("#episode label").nth(1).click()
    assert f"grpo: −{HALF:.6g} (−1.00 rms)" == tokens.first.get_attribute("title")
    assert "minus" in tokens.first.get_attribute("class")
    page.locator("#units label").nth(1).click()
    assert "−1.00" in page.locator("#talk .sums b").first.inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


def record(run: Path, points: int, content: str) -> None:
    """Trajectory files as a run leaves them."""
    (run / "trajectories").mkdir()
    for point in range(points):
        path = run / "trajectories" / f"{point}.jsonl.gz"
        path.write_bytes(gzip.compress(content.encode(), mtime=0))


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Two algorithms, two seeds, three recorded evaluations each; every field known."""
    for cell in write_sweep(tmp_path, {"grpo": 0.4, "ppo": 0.5}, seeds=2):
        record(tmp_path / "runs" / cell, 3, text(complete()))
    return tmp_path


def test_a_report_links_to_its_episodes(sweep):
    assert 'href="trajectories.html"' in compare(sweep).read_text()
    runs = embedded(sweep / "trajectories.html")
    assert [run["name"] for run in runs] == ["grpo, seed 0", "ppo, seed 0", "grpo, seed 1", "ppo, seed 1"]
    for run in runs:
        assert [each["name"] for each in run["checkpoints"]] == ["0%", "10%", "20%"]
        for each in run["checkpoints"]:
            assert [column["name"] for column in each["columns"]] == ["exact", "grpo", "ppo"]
            assert each["missing"] == []


def test_arrow_keys_go_through_checkpoints_and_runs_can_be_picked(sweep, browser):
    assert main([str(sweep)]) == 0
    page = browser.new_page()
    page.goto((sweep / "trajectories.html").as_uri())
    checked = page.locator("#checkpoint .choice:has(input:checked)")
    assert checked.inner_text() == "20%"
    page.keyboard.press("ArrowLeft")
    assert checked.inner_text() == "10%"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert checked.inner_text() == "20%", "there is no later one"
    page.locator("#run").select_option("ppo, seed 1")
    page.locator("#task").select_option("h")
    assert page.locator("#summary").inner_text().startswith("h, episode 1 of 4")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    assert page.locator("#run").input_value() == "ppo, seed 1", "an address leads back to what was shown"
    assert page.locator("#task").input_value() == "h"
    page.close()


def test_credit_is_that_of_the_command(sweep):
    """Episode by episode and token by token, to six digits."""
    assert main([str(sweep)]) == 0
    [cell, *_] = read_json(sweep / "sweep.json")["cells"]
    records = read(str(sweep / "runs" / cell / "trajectories" / "0.jsonl.gz"))
    episodes = embedded(sweep / "trajectories.html")[0]["checkpoints"][0]["episodes"]
    for number, name in enumerate(["grpo", "ppo"], start=1):
        [result] = credited(records, [built(name, {})], seed=0)
        lines = map(json.loads, result_lines(result, records))
        for line, episode in zip(lines, episodes, strict=True):
            for expected, shown in zip(line["advantages"], episode["steps"], strict=True):
                found = shown["credit"][number]
                found = found if isinstance(found, list) else [found] * len(expected)
                assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("credit", "reason"),
    [
        (lambda batch: Credit(np.zeros(len(batch.step_T) - 1)), "the credit of algorithm ppo"),
        (lambda batch: np.zeros(len(batch.step_T)), "the credit of algorithm ppo is a ndarray, not a Credit"),
        (lambda batch: batch.rewards_N, "AttributeError: "),
        (lambda batch: Credit(np.full(len(batch.step_T), np.nan)), "the credit of algorithm ppo"),
    ],
    ids=["too short", "no Credit", "a typing error", "NaN"],
)
def test_a_broken_algorithm_costs_its_own_column_alone(sweep, monkeypatch, credit, reason):
    monkeypatch.setattr(PPO, "credit", lambda self, batch: credit(batch))
    compare(sweep)
    for run in embedded(sweep / "trajectories.html"):
        for each in run["checkpoints"]:
            assert [column["name"] for column in each["columns"]] == ["exact", "grpo"]
            (missing,) = each["missing"]
            assert missing["name"] == "ppo"
            assert reason in missing["reason"]
            assert {len(step["credit"]) for episode in each["episodes"] for step in episode["steps"]} == {2}


def test_an_algorithm_that_cannot_be_imported_costs_its_own_column_alone(sweep, monkeypatch):
    def broken(name: str) -> ModuleType:
        if name == "algorithms.ppo":
            raise SyntaxError("invalid syntax (ppo.py, line 3)")
        return import_module(name)

    monkeypatch.setattr(classes, "import_module", broken)
    page = compare(sweep).read_text()
    assert "4 of 4 runs finished" in page
    for run in embedded(sweep / "trajectories.html"):
        for each in run["checkpoints"]:
            assert [column["name"] for column in each["columns"]] == ["exact", "grpo"]
    assert "invalid syntax (ppo.py, line 3)" in (sweep / "trajectories.html").read_text()
    file, out = sweep / "pair.jsonl", sweep / "pair.html"
    file.write_text(a_pair())
    assert main([str(file), "--out", str(out)]) == 0
    assert "invalid syntax (ppo.py, line 3)" in out.read_text()
    [[only]] = [run["checkpoints"] for run in embedded(out)]
    assert "grpo" in [column["name"] for column in only["columns"]]


def test_a_damaged_file_is_named_and_skipped(sweep):
    [cell, *_] = read_json(sweep / "sweep.json")["cells"]
    damaged = sweep / "runs" / cell / "trajectories" / "1.jsonl.gz"
    damaged.write_bytes(damaged.read_bytes()[:-40])
    assert main([str(sweep)]) == 0
    page = (sweep / "trajectories.html").read_text()
    assert f"runs/{cell}/trajectories/1.jsonl.gz can&#39;t be unpacked" in page
    assert str(sweep) not in page.split("<footer>")[0]
    assert sum(len(run["checkpoints"]) for run in embedded(sweep / "trajectories.html")) == 11


def test_a_full_page_says_what_it_leaves_out(sweep, monkeypatch):
    """The last checkpoints of the first seed come first."""
    monkeypatch.setattr(viewer, "ROOM", 40_000)
    assert main([str(sweep)]) == 0
    page = sweep / "trajectories.html"
    shown = sum(len(run["checkpoints"]) for run in embedded(page))
    assert 0 < shown < 12
    assert embedded(page)[0]["checkpoints"][-1]["name"] == "20%"
    assert f"{shown} of 12 recorded checkpoints fit" in page.read_text()
    left_out = re.search(r"python -m reports.viewer ([^<]+)</code>", page.read_text())[1]
    assert main([left_out]) == 0
    assert len(page.read_text()) < 100_000


def test_of_a_large_file_the_first_episodes_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(viewer, "ROOM", 3_000)
    file, out = tmp_path / "many.jsonl", tmp_path / "page.html"
    file.write_text(text(trajectory(f"t{i}", step(i % 2, 2)) for i in range(100)))
    assert main([str(file), "--algorithms", "grpo", "--out", str(out)]) == 0
    kept = len(embedded(out)[0]["checkpoints"][0]["episodes"])
    assert 0 < kept < 100
    assert f"the first {kept} of 100 episodes of many.jsonl" in out.read_text()


def test_what_cannot_be_shown_is_one_line_and_exit_2(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torn = tmp_path / "torn.jsonl"
    torn.write_text(a_pair()[:-9])
    good = tmp_path / "good.jsonl"
    good.write_text(a_pair())
    write_sweep(tmp_path / "bare", {"grpo": 0.4}, seeds=1)
    wrong = [["nothing"], [str(torn)], [str(good), "--algorithms", "grop"], ["bare"]]
    wrong.append([str(good), "--algorithms", "grpo", "--out", "nowhere/page.html"])
    for arguments in wrong:
        assert main(arguments) == 2, arguments
        assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.glob("**/*.html")) == []
    compare(tmp_path / "bare")
    assert "trajectories.html" not in (tmp_path / "bare" / "report.html").read_text()


def test_turns():
    """Last, first, middle, and then in order."""
    assert turns(5) == [1, 3, 2, 4, 0]
    assert (turns(1), turns(0)) == ([0], [])
