"""The command that asks for power; the power itself: tests/reports/stats/test_power.py."""

from pathlib import Path

import numpy as np
import pytest

from harness.errors import UserError
from harness.store import read_json, write_json
from reports import comparisons, power, stats
from reports.power import Target
from reports.settings import settings
from reports.store import read_store
from tests.reports.synthetic import TYPICAL, write_sweep

THREE = {"grpo": 0.5, "gigpo": 0.7, "ppo": 0.6}
"""One step arm against two others: families of 2 and 3 comparisons."""


def test_seeds_needed_by_family_and_by_store(tmp_path: Path):
    write_sweep(tmp_path, THREE, seeds=4)
    store = read_store(tmp_path)
    (setting,) = settings(store)
    question, pairs = comparisons.question_family(setting), comparisons.all_pairs_family(setting)
    assert (len(question.table), len(pairs.table)) == (2, 3)
    widest = max(float(np.std(d, ddof=1)) for d in question.differences.values())
    assert power.spreads(question)[0].sd == pytest.approx(widest)
    needed = power.seeds_needed(question, 0.1)
    assert needed == power.seeds_needed(store, 0.1) == stats.seeds_for(widest * stats.sd_bound(4), 0.1, 2)
    assert power.seeds_needed(pairs, 0.1) >= needed
    with pytest.raises(UserError, match="more than 1000 seeds"):
        power.seeds_needed(store, 0.0001)
    with pytest.raises(UserError, match="effect is 2"):
        power.seeds_needed(store, 2.0)


def test_declared_contrasts_come_first(tmp_path: Path):
    cells = write_sweep(tmp_path, THREE, seeds=4)
    manifest = read_json(tmp_path / "sweep.json")
    sides = {
        side: [cell for cell in cells if cell.startswith(f"{arm}-")]
        for side, arm in (("left", "gigpo"), ("right", "ppo"))
    }
    write_json(tmp_path / "sweep.json", {**manifest, "contrasts": {"step − token": sides}})
    store = read_store(tmp_path)
    (setting,) = settings(store)
    sd = float(np.std(comparisons.contrast_family(setting).differences["step − token"], ddof=1))
    assert power.seeds_needed(store, 0.1) == stats.seeds_for(sd * stats.sd_bound(4), 0.1, 1)
    assert power.report(store, Target(0.1)).startswith(
        "vault-tiny: declared contrasts, Holm over 1 comparison."
    )


def test_the_command_on_a_pilot_of_three_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_sweep(tmp_path, TYPICAL, seeds=3)
    before = sorted(tmp_path.rglob("*"))
    assert power.main([str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.isascii(), "any terminal can show it"
    assert (
        "step arms against the others, Holm over 9 comparisons. Nothing is usually better below 9" in said.out
    )
    assert "all pairs, Holm over 15 comparisons. Nothing is usually better below 10 seeds" in said.out
    assert "between 0.52 and 6.28 times it" in " ".join(said.out.split())
    for seeds, least in ((3, 9), (7, 9), (9, 10)):
        assert f"{seeds}      none: {least} seeds are needed to find anything" in said.out
    assert "These are seeds of a new sweep" in said.out
    assert "8 more in between: --all" in said.out
    assert power.main([str(tmp_path), "--all"]) == 0
    everything = capsys.readouterr().out
    assert sum(" vs " in line for line in everything.splitlines()) == 9 + 15
    assert sorted(tmp_path.rglob("*")) == before, "it only reads"


def test_the_commands_flags(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_sweep(tmp_path, {"grpo": 0.5, "gigpo": 0.7}, seeds=2)
    flags = ["--effect", "0.25", "--power", "0.9", "--alpha", "0.1", "--comparisons", "1"]
    assert power.main([str(tmp_path), *flags]) == 0
    said = capsys.readouterr().out
    assert "a difference of 0.25 in final success with 90 % power" in said
    assert "Holm over 1 comparison. Nothing is usually better below 5 seeds" in said
    assert "between 0.45 and 31.91 times it" in " ".join(said.split())
    assert "worst, median  gigpo vs grpo  2" in said


def test_arms_without_a_second_seed_are_counted_not_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    cells = write_sweep(tmp_path, THREE, seeds=2)
    (tmp_path / "runs" / next(cell for cell in cells if cell.startswith("ppo-")) / "result.json").unlink()
    assert power.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "Holm over 2 comparisons" in said
    assert "Not listed: 1 comparison with fewer than 2 paired seeds" in said


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--effect", "0"], "effect is 0"),
        (["--effect", "1.1"], "effect is 1.1"),
        (["--effect", "nan"], "effect is nan"),
        (["--effect", "much"], "argument --effect: invalid float value: 'much'"),
        (["--power", "1"], "power is 1"),
        (["--power", "0.04"], "power is 0.04: give a chance above alpha"),
        (["--alpha", "0"], "alpha is 0"),
        (["--comparisons", "0"], "comparisons is 0"),
        (["--seeds", "3"], "unrecognized arguments: --seeds 3"),
        ([], "no two arms that finished 2 seeds in common"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], flags, reason):
    write_sweep(tmp_path, {"grpo": 0.5, "gigpo": 0.7}, seeds=1)
    assert power.main([str(tmp_path), *flags]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("error: ")
    assert reason in said.err


def test_no_sweep_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for arguments, reason in (([str(tmp_path)], "no sweep.json"), ([], "required: DIR")):
        assert power.main(arguments) == 2
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        assert reason in said.err
