"""Reading a store: arms, pairing, and what would make a comparison unfair."""

from pathlib import Path

import pytest

from harness.store import read_json, write_json
from reports import comparisons, wording
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
    assert wording.warnings(store, only(store)) == []


def test_arms_that_do_not_share_the_budget_are_pointed_out(out):
    store = read_store(out)
    change(out, store.runs["cell"][0], "budget", limit=1e9)
    store = read_store(out)
    assert any("budget.limit" in each for each in wording.warnings(store, only(store)))


def test_pairs_use_the_seeds_that_both_finished(out):
    cells = read_store(out).runs["cell"]
    (out / "runs" / cells[0] / "result.json").unlink()
    family = comparisons.question_family(only(read_store(out)))
    assert list(family.table["seeds"]) == [2]
    assert list(family.differences["steppo − ppo"].index) == [1, 2]
    pooled = comparisons.unit_family(only(read_store(out)))
    assert pooled.table["difference"][0] == pytest.approx(family.table["difference"][0])


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
