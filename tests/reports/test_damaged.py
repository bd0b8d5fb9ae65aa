"""Damaged, foreign, half-written and mixed-version stores: the file is named, the rest is reported."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from harness.store import read_json, write_json
from harness.store.checksums import file_hash, write_sealed
from reports.compare import compare, main
from reports.store import Store, read_store
from tests.reports.synthetic import write_sweep

TORN = '{"iteration": 3, "kind": "eval'


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.6}, seeds=2)
    return tmp_path


def first(out: Path) -> Path:
    """The folder of a cell."""
    cell: str = read_json(out / "sweep.json")["cells"][0]
    return out / "runs" / cell


def states(store: Store) -> list[str]:
    return list(store.runs["state"])


def line(text: str, number: int, new: str) -> str:
    """`text` with one of its lines replaced."""
    lines = text.splitlines()
    lines[number] = new
    return "\n".join(lines) + "\n"


SCORELESS = {
    "config: torn": ("config.json", lambda text: text[:40], "config.json: not a JSON object"),
    "config: empty": ("config.json", lambda text: "", "config.json: not a JSON object"),
    "config: foreign": ("config.json", lambda text: '{"lr": 1}', "config.json: unexpected content"),
    "config: no limit": (
        "config.json",
        lambda text: text.replace("700000000000.0", "0"),
        "budget.limit is 0",
    ),
    "metrics: torn inside": ("metrics.jsonl", lambda text: line(text, 4, TORN), "metrics.jsonl, line 5"),
    "metrics: foreign": ("metrics.jsonl", lambda text: line(text, 4, '{"loss": 1}'), "metrics.jsonl, line 5"),
    "metrics: no number": (
        "metrics.jsonl",
        lambda text: text.replace('"success": 0.', '"success": "0.', 1).replace(",", '",', 1),
        "metrics.jsonl, line 1",
    ),
    "metrics: gone": ("metrics.jsonl", None, "metrics.jsonl: no evaluation, although the run has a result"),
    "result: torn": ("result.json", lambda text: text[:60], "result.json: not a JSON object"),
    "result: a list": ("result.json", lambda text: "[]", "result.json: not a JSON object"),
    "result: NaN": (
        "result.json",
        lambda text: json.dumps({**json.loads(text), "final_success": float("nan")}),
        "result.json: unexpected content",
    ),
    "result: other ledger": (
        "result.json",
        lambda text: json.dumps({**json.loads(text), "ledger": {"phases": []}}),
        "result.json: unexpected content",
    ),
}


@pytest.mark.parametrize(("name", "damage", "words"), SCORELESS.values(), ids=list(SCORELESS))
def test_a_cell_without_a_usable_score_is_named_and_the_rest_reported(out, name, damage, words):
    path = first(out) / name
    if damage is None:
        path.unlink()
    else:
        path.write_text(damage(path.read_text()))
    store = read_store(out)
    assert states(store) == ["damaged", "done", "done", "done"]
    (note,) = store.notes
    assert note.startswith(f"{first(out).name}/{name}")
    assert words in note
    assert "\n" not in note


@pytest.mark.parametrize("name", ["timing.jsonl", "attempts.jsonl"])
@pytest.mark.parametrize("content", ['["a list"]\n', '{"iteration": {}, "redone": 1}\n', "\0\0\n"])
def test_what_is_beside_the_score_costs_no_score(out, name, content):
    (first(out) / name).write_text(content)
    store = read_store(out)
    assert states(store) == ["done"] * 4
    assert [note.startswith(f"{first(out).name}/{name}") for note in store.notes] == [True]


def test_a_torn_last_line_is_a_write_in_flight(out):
    for name in ("metrics.jsonl", "timing.jsonl", "attempts.jsonl"):
        with (first(out) / name).open("a") as file:
            file.write(TORN)
    assert read_store(out).notes == []


def test_a_folder_in_a_files_place_is_named(out):
    (first(out) / "result.json").unlink()
    (first(out) / "result.json").mkdir()
    (note,) = read_store(out).notes
    assert note == f"{first(out).name}/result.json can't be read (Is a directory)"


@pytest.mark.parametrize("key", ["contrasts", "model", "sesoi", "controls", "arms", "references"])
def test_a_damaged_key_of_the_manifest_is_not_used(out, key):
    write_json(out / "sweep.json", {**read_json(out / "sweep.json"), key: 7})
    store = read_store(out)
    assert store.notes == [f"sweep.json: {key} is damaged and not used"]
    assert states(store) == ["done"] * 4


def test_a_lost_manifest_leaves_the_runs(out):
    (out / "sweep.json").write_text('{"cells": [')
    page = compare(out).read_text()
    assert "sweep.json is damaged" in page
    assert "4 of 4 runs finished" in page


def test_a_sealed_cell_is_read_as_one_without_a_checksum(out):
    """Of metrics that a checksum vouches for, only the evaluations are parsed."""
    before = read_store(out)
    seal(first(out))
    after = read_store(out)
    pd.testing.assert_frame_equal(before.runs, after.runs)
    pd.testing.assert_frame_equal(before.curve, after.curve)


def test_damage_in_a_line_that_is_not_parsed_is_found(out):
    seal(first(out))
    metrics = first(out) / "metrics.jsonl"
    metrics.write_text(metrics.read_text().replace("train_success", "train_failure", 1))
    store = read_store(out)
    assert states(store) == ["damaged", "done", "done", "done"]
    assert "metrics.jsonl is not what was written" in store.notes[0]


def seal(run: Path) -> None:
    """Give a finished cell the checksums that runs write."""
    result = {**read_json(run / "result.json"), "metrics_sha256": file_hash(run / "metrics.jsonl")}
    write_sealed(run / "result.json", result)


def test_runs_of_an_older_version_are_read(out):
    """Without what older versions did not write, beside runs of this one."""
    for name, dropped in (("result.json", "start_hash"), ("result.json", "iterations")):
        content = read_json(first(out) / name)
        del content[dropped]
        write_json(first(out) / name, content)
    config = read_json(first(out) / "config.json")
    del config["algorithm"]["entropy_coef"], config["env"]["tasks"]
    write_json(first(out) / "config.json", {**config, "optimiser": {"name": "adam"}})
    (first(out) / "timing.jsonl").unlink()
    page = compare(out).read_text()
    assert "4 of 4 runs finished" in page


@pytest.mark.parametrize("target", ["algorithms.gone.Gone", "algorithms.ppo.Gone", "gone", ""])
def test_an_algorithm_that_is_no_more_is_reported_without_a_command(out, target):
    config = read_json(first(out) / "config.json")
    config["algorithm"]["_target_"] = target
    write_json(first(out) / "config.json", config)
    page = compare(out).read_text()
    assert "4 of 4 runs finished" in page
    assert page.count("python -m harness.run algorithm=ppo") == 1, "the other seed's"


def test_the_page_shows_it_and_the_command_succeeds(out, capsys):
    (first(out) / "result.json").write_text("[]")
    shutil.copytree(first(out), out / "runs" / "some notes of mine")
    assert main([str(out)]) == 0
    for name in ("report.html", "report.md"):
        page = (out / name).read_text()
        assert f"{first(out).name}/result.json: not a JSON object" in page
        assert "3 of 4 runs finished" in page
        assert "1 other run" in page
