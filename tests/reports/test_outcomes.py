"""Why episodes ended, and what graded environments are compared by, from the store to the page."""

import json

import pytest

from harness.records import StopReason
from harness.store import read_json, write_json
from reports.compare import compare
from reports.outcomes import UNEQUAL, lost_unequally, metric_table, outcome_table
from reports.settings import settings
from reports.store import read_store
from tests.reports.synthetic import write_sweep

STOPS = {
    "grpo": {"training": {"solved": 60, "horizon": 40}, "evaluation": {"solved": 9, "failed": 1}},
    "ppo": {
        "training": {"solved": 50, "horizon": 40, "crash": 6, "timeout": 4},
        "evaluation": {"failed": 10},
    },
}


@pytest.fixture
def out(tmp_path):
    """Two arms, three seeds; ppo loses a tenth of its training episodes; scores are half of success."""
    write_sweep(tmp_path, {"grpo": 0.5, "ppo": 0.7}, seeds=3)
    for path in tmp_path.glob("runs/*/result.json"):
        arm = path.parent.name.split("-")[0]
        result = {key: value for key, value in read_json(path).items() if key != "checksum"}
        more = {"stops": STOPS[arm], "measure": "score", "final_score": result["final_success"] / 2}
        write_json(path, {**result, **more})
        lines = [json.loads(line) for line in (path.parent / "metrics.jsonl").read_text().splitlines()]
        for line in lines:
            if line["kind"] == "evaluation":
                line |= {
                    "score": line["success"] / 2,
                    "greedy_score": line["greedy_success"] / 2,
                    "env_f1": 0.25,
                }
        (path.parent / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def setting_of(out):
    (setting,) = settings(read_store(out))
    return setting


def test_stop_reasons_are_counted_by_arm_and_stage(out):
    table = outcome_table(setting_of(out)).set_index(["arm", "stage", "stop"])
    for arm, stages in STOPS.items():
        for stage, stops in stages.items():
            assert table.loc[(arm, stage), "episodes"].to_dict() == {k: 3 * n for k, n in stops.items()}
            shares = {k: n / sum(stops.values()) for k, n in stops.items()}
            assert table.loc[(arm, stage), "share_of_episodes"].to_dict() == pytest.approx(shares)
    assert {reason.value for reason in StopReason} >= set(table.index.get_level_values("stop"))


def test_arms_that_lose_episodes_unequally_are_a_warning(out):
    table = outcome_table(setting_of(out))
    (warning,) = lost_unequally(table)
    assert "in training, ppo lost 10.0% of its episodes, grpo 0.0%" in warning
    equal = table[table["arm"] == "grpo"]
    assert lost_unequally(equal) == []
    assert UNEQUAL < 0.1


def test_an_environments_own_numbers_are_means_over_runs(out):
    assert metric_table(setting_of(out)).to_dict("records") == [
        {"arm": "grpo", "metric": "f1", "mean": 0.25},
        {"arm": "ppo", "metric": "f1", "mean": 0.25},
    ]


def test_graded_environments_are_compared_by_score_and_success_stays_visible(out):
    setting = setting_of(out)
    assert setting.measure == "score"
    runs = setting.runs
    assert (runs["final_score"] == runs["final_success"] / 2).all()
    assert setting.finals.to_numpy().max() <= 0.5
    compare(out)
    page, text = (out / "report.html").read_text(), (out / "report.md").read_text()
    assert "<h2>Final score</h2>" in page
    assert "final success" not in page.lower().replace("final success (seeds", "")
    assert "### Final score" in text
    assert "Success beside it: " in text
    assert "**Why episodes ended**" in text
    assert "| ppo | training | 6.0 % | 0.0 % | 40.0 % | 50.0 % | 4.0 % |" in text
    assert "Environments failed more often for some arms" in text
    assert "**The environment's own numbers**" in text
    for name in ("Why episodes ended", "The environment’s own numbers"):
        assert name in page


def test_an_environment_without_scores_is_compared_by_success(tmp_path):
    write_sweep(tmp_path, {"grpo": 0.5, "ppo": 0.7}, seeds=3)
    setting = setting_of(tmp_path)
    assert setting.measure == "success"
    assert (setting.runs["final_score"] == setting.runs["final_success"]).all()
