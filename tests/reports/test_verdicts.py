"""What the page says of comparisons: failed runs, collapses, and what its seeds can decide."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from harness.store import read_json, write_json
from reports import provenance, stats, wording
from reports.compare import compare
from reports.comparisons import (
    Family,
    all_pairs_family,
    arm_pairs,
    compare_pairs,
    contrast_family,
    question_family,
    unit_family,
)
from reports.settings import Setting, settings
from reports.store import read_store
from tests.reports.synthetic import write_sweep

DIVERGED = "FloatingPointError: the gradient is not finite: the run has diverged"
LOST = "ConnectionError: the model's server is gone"


def setting_of(out: Path) -> Setting:
    (setting,) = settings(read_store(out))
    return setting


def fail(out: Path, cell: str, failure: Mapping[str, str]) -> None:
    """Make a finished run one that failed."""
    (out / "runs" / cell / "result.json").unlink()
    write_json(out / "runs" / cell / "failure.json", dict(failure))


def score(out: Path, scores: Mapping[str, list[float]], collapsed: tuple[str, ...] = ()) -> list[str]:
    """A store whose arms end at these scores, seed by seed; runs of `collapsed` fell from a high to there."""
    cells = write_sweep(out, dict.fromkeys(scores, 0.5), seeds=len(next(iter(scores.values()))))
    for cell in cells:
        arm, seed = cell.split("-")[0], int(cell.rsplit("-s", 1)[1].split("-")[0])
        path = out / "runs" / cell
        final = scores[arm][seed]
        write_json(path / "result.json", {**read_json(path / "result.json"), "final_success": final})
        lines = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        ends = [line for line in lines if line["kind"] == "evaluation"]
        for place, line in enumerate(ends):
            line["success"] = final * (place + 1) / len(ends)
        if arm in collapsed:
            ends[-2]["success"] = 1.0
        (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return cells


def row_of(family: Family) -> dict[str, object]:
    (row,) = family.table.to_dict("records")
    return row


def pair(out: Path) -> dict[str, object]:
    return row_of(question_family(setting_of(out)))


def test_a_store_in_which_no_run_finished_shows_nothing_alike(tmp_path):
    for failure, seeds in (({"reason": LOST}, 0), ({"reason": DIVERGED}, 8)):
        out = tmp_path / str(seeds)
        for cell in write_sweep(out, {"ppo": 0.4, "steppo": 0.5}, seeds=8):
            fail(out, cell, failure)
        row = pair(out)
        assert (row["verdict"], row["seeds"]) == ("undecided", seeds)
        said = wording.verdict_text(row)
        assert ("score 0 and are no evidence of likeness" in said) == bool(seeds)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ({"reason": DIVERGED}, "algorithm"),
        ({"reason": LOST}, "infrastructure"),
        ({"reason": "RuntimeError: the code changed from a to b"}, "infrastructure"),
        ({"reason": "PeerFailed: rank 1: FloatingPointError: the gradient is not finite"}, "algorithm"),
        ({"reason": LOST, "kind": "algorithm"}, "algorithm"),
        ({"reason": DIVERGED, "kind": "infrastructure"}, "infrastructure"),
        ({"reason": DIVERGED, "kind": "weather"}, "algorithm"),
    ],
)
def test_only_what_the_algorithm_did_scores_0(tmp_path, failure, kind):
    cells = write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5}, seeds=2)
    fail(tmp_path, cells[0], failure)
    setting = setting_of(tmp_path)
    assert setting.runs.set_index("cell").loc[cells[0], "failure"] == kind
    final = setting.finals.loc[0, "ppo"]
    assert final == 0 if kind == "algorithm" else math.isnan(final)
    assert setting.failed.loc[0, "ppo"] == (kind == "algorithm")
    assert len(setting.scored) == (4 if kind == "algorithm" else 3)


def test_a_verdict_that_rests_on_diverged_runs_says_so(tmp_path):
    cells = score(tmp_path, {"ppo": [0.6] * 8, "steppo": [0.6] * 8})
    for cell in cells:
        if cell.startswith("ppo-"):
            fail(tmp_path, cell, {"reason": DIVERGED})
    row = pair(tmp_path)
    assert row["verdict"] in ("better", "usually better")
    said = wording.verdict_text(row)
    assert "Runs diverged on 0 seeds of the left side and 8 of the right" in said
    assert "The verdict rests on them: without those seeds it would be undecided." in said


def test_missing_runs_are_named_as_flattering(tmp_path):
    cells = write_sweep(tmp_path, {"ppo": 0.4, "steppo": 0.5}, seeds=2)
    fail(tmp_path, cells[0], {"reason": LOST})
    (said,) = [
        w for w in provenance.warnings(read_store(tmp_path), setting_of(tmp_path)) if "final score" in w
    ]
    assert "that flatters an arm whose bad runs take longer or end early" in said


def test_a_card_says_what_was_won_and_what_a_collapse_would_undo(tmp_path):
    """Nine of ten by .06: at a rate of .06 / .76 the lead is gone, and ten seeds leave open 26 %."""
    score(tmp_path, {"ppo": [0.70] * 10, "steppo": [0.76] * 9 + [0.66]})
    row = pair(tmp_path)
    assert row["verdict"] == "usually better"
    said = wording.verdict_text(row)
    assert "The left side won 9 of 10 paired seeds, lost 1 (adjusted p = 0.021)." in said
    lead = row["difference"] / row["left_mean"]
    assert f"If the left side collapsed in more than {100 * lead:.0f} % of its runs" in said
    assert "10 seeds without a collapse exclude only rates above 26 %" in said
    assert f"at least {wording.signed(row['at_least'])}" in said
    assert wording.collapse_text(row).startswith("Collapsed: left on 0 of 10 seeds, right on 0;")


def test_collapses_have_a_line_of_their_own(tmp_path):
    score(tmp_path, {"ppo": [0.45] * 9, "steppo": [0.45] * 9}, collapsed=("ppo",))
    row = pair(tmp_path)
    said = wording.collapse_text(row)
    assert "left on 0 of 9 seeds, right on 9; not excluded are rates up to 28 % and 100 %." in said
    assert "The left side collapses less often (adjusted p = 0.004)." in said
    assert row["verdict"] == "usually alike", "collapses decide nothing about who scores higher"


def test_one_seed_leaves_the_spread_unknown_and_plans_nothing(tmp_path):
    score(tmp_path, {"ppo": [0.5], "steppo": [0.6]})
    row = pair(tmp_path)
    assert not row["spread_known"]
    said = wording.verdict_text(row)
    assert said.endswith("The spread between seeds is unknown.")
    assert "1000" not in said


def test_more_seeds_are_a_new_sweep(tmp_path):
    draw = np.random.default_rng(0)
    scores = {arm: list(np.round(draw.normal(0.5, 0.04, 6) * 96) / 96) for arm in ("ppo", "steppo")}
    score(tmp_path, scores)
    row = pair(tmp_path)
    plan = stats.outlook(6, float(np.std(np.subtract(scores["steppo"], scores["ppo"]), ddof=1)))
    said = wording.verdict_text(row)
    assert (
        f"A new sweep of {plan.planned:.0f} seeds would find one of 0.05 ({plan.planned_low:.0f} to" in said
    )
    assert "more seeds would settle" not in said
    wide = {**row, "planned": math.inf, "planned_high": math.inf}
    assert "A new sweep of over 1000 seeds" in wording.verdict_text(wide)


@pytest.mark.parametrize("seeds", [4, 5, 6, 7])
def test_the_caution_says_what_verdicts_can_do(tmp_path, seeds):
    """No arm wins less than all, or all are equal: what the caution calls impossible is never said."""
    score(tmp_path, {"ppo": [0.1] * seeds, "steppo": [0.9] * seeds, "gigpo": [0.9] * seeds})
    setting = setting_of(tmp_path)
    twins = compare_pairs("twins", setting, arm_pairs([("steppo", "gigpo")]), 0.05)
    apart = compare_pairs("apart", setting, arm_pairs([("steppo", "ppo")]), 0.05)
    said = wording.caution([twins, apart], {})
    assert ("Nothing can be proved" in said) == (seeds < 5)
    assert ("too few to tell which side is better" in said) == (seeds == 5)
    assert (not said) == (seeds > 5)
    assert (row_of(twins)["verdict"] == "usually alike") == (seeds >= 5)
    assert (row_of(apart)["verdict"] in ("better", "usually better")) == (seeds >= 6)


def test_the_caution_does_not_speak_for_families_that_can_decide(tmp_path):
    step, others = ("steppo", "gigpo", "g2po"), ("ppo", "grpo")
    score(tmp_path, {**{arm: [0.9] * 7 for arm in step}, **{arm: [0.1] * 7 for arm in others}})
    setting = setting_of(tmp_path)
    one = compare_pairs("one", setting, arm_pairs([("steppo", "ppo")]), 0.05)
    six = compare_pairs("six", setting, arm_pairs([(arm, other) for arm in step for other in others]), 0.05)
    assert row_of(one)["verdict"] in ("better", "usually better")
    said = wording.caution([one, six], {})
    assert said.startswith("7 paired seeds are too few for some comparisons to tell which side is better")


def test_sides_of_unequal_size_win_by_meetings(tmp_path):
    """A step arm that collapses on three seeds drags its side's mean below the token arm, not its wins."""
    low = [0.1] * 3 + [0.62] * 4
    score(tmp_path, {"ppo": [0.6] * 7, "steppo": [0.62] * 7, "gigpo": [0.63] * 7, "g2po": low})
    (row,) = unit_family(setting_of(tmp_path)).table.to_dict("records")
    assert (row["wins"], row["losses"]) == (7, 0)
    assert row["difference"] < 0
    assert math.isnan(row["p_collapses"])


def test_every_family_has_typed_verdicts(tmp_path):
    write_sweep(tmp_path, {"ppo": 0.2, "steppo": 0.9, "grpo": 0.5}, seeds=7)
    setting = setting_of(tmp_path)
    for made in (contrast_family, unit_family, question_family, all_pairs_family):
        family = made(setting)
        assert list(family.verdicts) == list(family.differences)
        for row in family.table.to_dict("records"):
            verdict = family.verdicts[row["label"]]
            assert isinstance(verdict.word, stats.Word)
            assert row["verdict"] in (verdict.word.value, "exploratory")


def test_the_error_of_a_page_with_several_families():
    assert "Families of verdicts on this page: 2" in wording.page_error(2)
    assert "up to 19 %" in wording.page_error(2), "1 - .95^4: each has a family of collapses beside it"


def test_arms_that_the_seeds_cannot_tell_from_the_best(tmp_path):
    """Ten seeds, spread 0.05: a difference of 0.02 is none, one of 0.6 is there on each seed."""
    write_sweep(tmp_path, {"ppo": 0.3, "grpo": 0.88, "steppo": 0.9}, seeds=10)
    page = compare(tmp_path).read_text()
    said = re.search(
        r"These seeds tell ppo from (\w+), the best on average; they cannot tell (\w+) from it", page
    )
    assert said, page[page.index("Overlap of two") :][:400]
    assert {*said.groups()} == {"grpo", "steppo"}
    assert said[0] in (tmp_path / "report.md").read_text()
    assert wording.apart_text(["ppo"], all_pairs_family(setting_of(tmp_path))) == ""
