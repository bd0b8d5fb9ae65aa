"""Environments together: seeds are the units, and nothing is made of a seed that misses an environment."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.store import read_json, write_json
from reports import pooled
from reports.compare import compare
from reports.pooled import ALL, Pool, pools
from reports.settings import settings
from reports.store import read_store
from tests.reports.stats import RLIABLE_ABOVE, RLIABLE_SCORES, RLIABLE_X
from tests.reports.synthetic import write_sweep

ARMS = {"ppo": 0.4, "grpo": 0.5, "g2po": 0.7}
ENVS = ("vault", "household")
SEEDS = 7


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("pooled")
    write_sweep(out, ARMS, seeds=SEEDS, envs=ENVS)
    return out


def pool_of(out: Path) -> Pool:
    (pool,) = pools(settings(read_store(out)))
    return pool


def finals_of(out: Path) -> pd.DataFrame:
    """Final success as the runs wrote it: one row a run."""
    store = read_store(out)
    rows = [
        {**row, "score": read_json(out / "runs" / row["cell"] / "result.json")["final_success"]}
        for row in store.runs.to_dict("records")
    ]
    return pd.DataFrame(rows)


def test_a_seed_is_one_number(out):
    pool, runs = pool_of(out), finals_of(out)
    expected = runs.groupby(["seed", "arm"])["score"].mean().unstack()
    assert len(pool.finals) == SEEDS, "not twice as many"
    pd.testing.assert_frame_equal(
        pool.finals[sorted(ARMS)], expected[sorted(ARMS)], check_names=False, check_dtype=False
    )
    final = pooled.final_table(pool).set_index("arm")
    assert list(final["seeds"]) == [SEEDS] * 3
    assert final.loc["g2po", "final_score"] == pytest.approx(expected["g2po"].mean())


def test_the_heat_map_holds_paired_differences(out):
    runs = finals_of(out)
    table = pooled.against_others(pool_of(out)).set_index(["environment", "arm"])
    assert set(table.index) == {(place, arm) for place in (*ENVS, ALL) for arm in ARMS}
    scores = runs[runs["env"] == "vault"].pivot(index="seed", columns="arm", values="score")
    expected = (scores["g2po"] - (scores["ppo"] + scores["grpo"]) / 2).mean()
    assert table.loc[("vault", "g2po"), "difference"] == pytest.approx(expected)
    by_env = [table.loc[(env, "g2po"), "difference"] for env in ENVS]
    assert table.loc[(ALL, "g2po"), "difference"] == pytest.approx(sum(by_env) / 2)


def test_the_profile_is_rliables(tmp_path):
    """rliable 1.2.0, library.create_performance_profile; the eighth seed lacks an environment."""
    cells = write_sweep(tmp_path, {"ppo": 0.4, "g2po": 0.6}, seeds=8, envs=ENVS)
    scores = dict(zip(ENVS, np.transpose([*RLIABLE_X, [0.99, 0.99]]), strict=True))
    for env, by_seed in scores.items():
        for seed, score in enumerate(by_seed):
            cell = next(cell for cell in cells if cell.startswith(f"g2po-{env}-tiny-s{seed}-"))
            path = tmp_path / "runs" / cell / "result.json"
            write_json(path, {**read_json(path), "final_success": score})
    path.unlink()
    table = pooled.profile_table(pool_of(tmp_path)).set_index(["arm", "score"])["above"]["g2po"]
    found = [table.iloc[table.index.get_indexer([score], method="nearest")[0]] for score in RLIABLE_SCORES]
    np.testing.assert_allclose(found, RLIABLE_ABOVE)


def test_the_page_and_the_json_have_both(out, tmp_path):
    page = compare(out, tmp_path).read_text()
    assert page.index("Over household, vault: model tiny") < page.index('id="household-tiny"')
    assert "step − trajectory credit, over 2 environments" in page
    assert "step − trajectory credit, on vault" in page
    assert 'id="data-profile-pooled-tiny"' in page
    report = read_json(tmp_path / "report.json")
    assert sorted(report["settings"]) == ["household-tiny", "vault-tiny"]
    (verdict, _) = report["pooled"]["tiny"]["step-against-others"]
    assert (verdict["label"], verdict["seeds"], verdict["verdict"]) == ("g2po − ppo", SEEDS, "usually better")
    assert verdict["p"] == pytest.approx(2 / 2**SEEDS), "seeds are counted, not runs"
    assert len(report["pooled"]["tiny"]["against-others"]) == 9
    assert len(report["pooled"]["tiny"]["profile"]) == len(ARMS) * 41
    assert "heat-pooled-tiny.png" in (tmp_path / "report.md").read_text()


def test_a_seed_without_one_environment_is_left_out_and_a_failed_run_counts(tmp_path):
    cells = write_sweep(tmp_path, ARMS, seeds=3, envs=ENVS)
    missing = next(cell for cell in cells if cell.startswith("g2po-household-tiny-s1-"))
    failed = next(cell for cell in cells if cell.startswith("g2po-vault-tiny-s2-"))
    for cell in (missing, failed):
        (tmp_path / "runs" / cell / "result.json").unlink()
    write_json(tmp_path / "runs" / failed / "failure.json", {"reason": "x", "kind": "algorithm"})
    pool = pool_of(tmp_path)
    household = settings(read_store(tmp_path))[0]
    assert pool.finals["g2po"].isna().tolist() == [False, True, False]
    assert pool.finals.loc[2, "g2po"] == pytest.approx(household.finals.loc[2, "g2po"] / 2)
    assert not pool.finals["ppo"].isna().any()
    assert set(pooled.against_others(pool)["seeds"]) == {2, 3}
    assert pool.failed["g2po"].tolist() == [False, False, True], "on one of its environments"
    assert pool.collapsed.loc[2, "g2po"]


def test_an_arm_of_one_environment_is_not_pooled(tmp_path):
    cells = write_sweep(tmp_path, ARMS, seeds=2, envs=ENVS)
    kept = [cell for cell in cells if not cell.startswith("ppo-household")]
    write_json(tmp_path / "sweep.json", {**read_json(tmp_path / "sweep.json"), "cells": kept})
    assert pool_of(tmp_path).contestants == ["g2po", "grpo"]
    assert "Over household, vault" in compare(tmp_path).read_text()


def test_one_environment_has_no_pool(tmp_path):
    write_sweep(tmp_path, ARMS, seeds=2)
    assert pools(settings(read_store(tmp_path))) == []
