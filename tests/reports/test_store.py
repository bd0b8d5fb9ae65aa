"""Reading a store: arms, pairing, and what would make a comparison unfair."""

import json
from pathlib import Path

import pytest

from harness.store import read_json, write_json
from harness.store.checksums import file_hash, write_sealed
from reports import comparisons, provenance
from reports.settings import Setting, settings
from reports.store import Store, read_store
from tests.reports.synthetic import write_sweep


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.6}, seeds=3)
    return tmp_path


def change(out: Path, cell: str, section: str, **values: object) -> None:
    path = out / "runs" / cell / "config.json"
    config = read_json(path)
    config[section] |= values
    write_json(path, config)


def only(store: Store) -> Setting:
    (setting,) = settings(store)
    return setting


def test_a_fair_sweep_has_no_warning(out):
    store = read_store(out)
    assert provenance.warnings(store, only(store)) == []


def test_arms_that_do_not_share_the_budget_are_pointed_out(out):
    store = read_store(out)
    change(out, store.runs["cell"][0], "budget", limit=1e9)
    store = read_store(out)
    assert any("budget.limit" in each for each in provenance.warnings(store, only(store)))


def test_pairs_use_the_seeds_that_both_finished(out):
    cells = read_store(out).runs["cell"]
    (out / "runs" / cells[0] / "result.json").unlink()
    family = comparisons.question_family(only(read_store(out)))
    assert list(family.table["seeds"]) == [2]
    assert list(family.differences["steppo − ppo"].index) == [1, 2]
    pooled = comparisons.unit_family(only(read_store(out)))
    assert pooled.table["difference"][0] == pytest.approx(family.table["difference"][0])


def test_code_that_changed_between_runs_of_one_algorithm_is_said(out):
    cells = list(read_store(out).runs["cell"])
    redone = {"redone": {"flops": 0, "seconds": 0}}
    codes = {cells[0]: "aaa", cells[1]: "bbb", cells[2]: "ccc"}  # ppo, steppo, ppo
    for cell, code in codes.items():
        lines = [{"iteration": 0, "code": "before it was begun anew"}, {"iteration": 0, "code": code}]
        text = "".join(json.dumps({**line, **redone}) + "\n" for line in lines)
        (out / "runs" / cell / "attempts.jsonl").write_text(text)
    store = read_store(out)
    said = "runs of ppo were made by 3 versions of the code: aaa (1 run), ccc (1 run), unknown (1 run)"
    methods = dict(provenance.methods(store, only(store)))
    assert methods["Code"].startswith(said)
    assert any(said in warning for warning in provenance.warnings(store, only(store)))


@pytest.mark.parametrize(
    "result", ['{"final_success": null}', "[]", '{"final_success": NaN, "ledger": {}}', "\xff"]
)
def test_a_foreign_result_is_named_and_the_rest_read(out, result):
    cells = read_store(out).runs["cell"]
    (out / "runs" / cells[1] / "result.json").write_bytes(result.encode("latin-1"))
    runs = read_store(out).runs.set_index("cell")
    assert runs.loc[cells[1], "state"] == "damaged"
    assert f"{cells[1]}/result.json" in runs.loc[cells[1], "reason"]
    assert (runs["state"] == "done").sum() == len(cells) - 1


@pytest.mark.parametrize("name", ["metrics.jsonl", "result.json"])
def test_numbers_that_the_run_did_not_write_are_not_counted(name, out):
    cell = min((out / "runs").iterdir())
    result = read_json(cell / "result.json")
    write_sealed(cell / "result.json", {**result, "metrics_sha256": file_hash(cell / "metrics.jsonl")})
    assert set(read_store(out).runs["state"]) == {"done"}
    content = (cell / name).read_bytes()
    (cell / name).write_bytes(content.replace(b"0", b"1", 1))
    runs = read_store(out).runs.set_index("cell")
    assert runs.loc[cell.name, "state"] == "damaged"
    assert f"{name} is not what was written" in runs.loc[cell.name, "reason"]
