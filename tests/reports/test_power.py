"""Power against scipy's noncentral t, closed forms and the report's own test run on simulated sweeps."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats as scipy_stats

from harness.errors import UserError
from harness.store import read_json, write_json
from reports import power, sign_flip, stats, tables
from reports.power import Target
from reports.store import read_store
from tests.reports.synthetic import TYPICAL, write_sweep

THREE = {"grpo": 0.5, "gigpo": 0.7, "ppo": 0.6}
"""One step arm against two others: families of 2 and 3 comparisons."""


def t_power(effect: float, seeds: int, comparisons: int) -> float:
    """Power of the two-sided paired t-test in the right direction."""
    critical = scipy_stats.t.isf(0.025 / comparisons, seeds - 1)
    return float(scipy_stats.nct.sf(critical, seeds - 1, effect * math.sqrt(seeds)))


@pytest.mark.parametrize(
    ("seeds", "comparisons", "tolerance"),
    # Monte-Carlo error is below .005. The rest is the tests' true distance: at 10 seeds alpha .05 is coarse
    # (50 of 1024 arrangements), and with 100 comparisons 36 seeds are where 25 are with one.
    [(10, 1, 0.015), (13, 1, 0.01), (16, 1, 0.01), (20, 1, 0.01), (36, 1, 0.01), (36, 100, 0.02)],
)
def test_power_is_the_paired_t_tests_where_the_sign_flip_test_is_fine(seeds, comparisons, tolerance):
    for effect in np.array([0.5, 1, 2, 3, 4, 5]) / math.sqrt(seeds):
        simulated = sign_flip.power_at(effect, seeds, comparisons, 0.05)
        assert simulated == pytest.approx(t_power(effect, seeds, comparisons), abs=tolerance)


@pytest.mark.parametrize(("seeds", "comparisons"), [(6, 1), (10, 15), (14, 351)])
def test_power_in_closed_form_where_all_seeds_must_agree(seeds, comparisons):
    """One arrangement is tolerated there: it rejects where all signs are right, with chance Phi(d)^n."""
    for effect in (1.0, 2.0, 3.0):
        exact = scipy_stats.norm.cdf(effect) ** seeds
        assert sign_flip.power_at(effect, seeds, comparisons, 0.05) == pytest.approx(exact, abs=0.02)
    exact = scipy_stats.norm.ppf(0.8 ** (1 / seeds))
    assert sign_flip.smallest_effects(comparisons, 0.8, 0.05)[seeds] == pytest.approx(exact, rel=0.02)


@pytest.mark.parametrize(
    ("seeds", "comparisons", "effect", "sweeps"),
    [(8, 1, 0.0, 3000), (8, 1, 1.3, 3000), (12, 5, 1.1, 3000), (18, 10, 1.0, 40)],
)
def test_power_is_what_the_reports_test_does(seeds, comparisons, effect, sweeps):
    differences = np.random.default_rng([5, seeds]).normal(effect, 1, (sweeps, seeds))
    found = [d.mean() > 0 and stats.sign_flip_p(d) * comparisons <= 0.05 for d in differences]
    expected = sign_flip.power_at(effect, seeds, comparisons, 0.05)
    assert np.mean(found) == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / sweeps))


@pytest.mark.parametrize("seeds", [6, 8, 10, 13, 16])
@pytest.mark.parametrize("comparisons", [1, 3, 15])
def test_a_null_is_rejected_at_alpha_at_most(seeds, comparisons):
    """Both directions, at alpha / comparisons; 5 % of it for Monte-Carlo error."""
    rejected = 2 * sign_flip.power_at(0.0, seeds, comparisons, 0.05)
    assert rejected <= 1.05 * 0.05 / comparisons


def test_the_closed_form_is_scipys():
    seeds = np.array([6, 20, 200, 1000])
    critical = scipy_stats.t.isf(0.001, seeds - 1)
    effects = sign_flip.t_effect(seeds, critical, 0.8)
    back = scipy_stats.nct.sf(critical, seeds - 1, effects * np.sqrt(seeds))
    assert back == pytest.approx(0.8, abs=1e-6)
    # The textbook's 34 pairs for d_z = .5 at 80 %, two-sided .05 (G*Power's example).
    assert power.seeds_for(1.0, 1, Target(effect=0.5)) == 34


def test_nothing_moves_the_wrong_way():
    effects = sign_flip.smallest_effects(3, 0.8, 0.05)
    assert (np.diff(effects[np.isfinite(effects)]) <= 0).all()
    at_ten = [sign_flip.power_at(effect, 10, 3, 0.05) for effect in np.linspace(0, 4, 30)]
    assert (np.diff(at_ten) > 0).all()
    assert at_ten[-1] > 0.99
    needed = [power.seeds_for(0.2, 3, Target(effect)) for effect in (0.8, 0.4, 0.2, 0.1, 0.05)]
    assert needed == sorted(needed)
    assert needed[0] < needed[-1]
    usable = slice(stats.seeds_needed(15), None)
    for easy, hard in (((3, 0.8), (15, 0.8)), ((15, 0.5), (15, 0.8)), ((15, 0.8), (15, 0.95))):
        assert (
            sign_flip.smallest_effects(*easy, 0.05)[usable] <= sign_flip.smallest_effects(*hard, 0.05)[usable]
        ).all()


def test_what_can_never_be_found():
    for comparisons in (1, 2, 15, 105, 351):
        effects = sign_flip.smallest_effects(comparisons, 0.8, 0.05)
        assert np.isinf(effects[[0, 1, 3, 5]]).all()
        assert int(np.argmax(np.isfinite(effects))) == stats.seeds_needed(comparisons)
    assert power.seeds_for(1e-6, 15, Target(effect=1.0)) == 10
    assert power.seeds_for(0.0, 15, Target(effect=1.0)) == 10, "arms that never differ in spread"
    assert np.isinf(sign_flip.smallest_effects(6000, 0.8, 0.05)).all(), (
        "100 000 resamples can't reach .05 / 6000"
    )
    assert power.seeds_for(0.9, 15, Target(effect=0.01)) is None


def test_the_same_numbers_again():
    first = sign_flip.smallest_effects(3, 0.8, 0.05)
    sign_flip.smallest_effects.cache_clear()
    sign_flip.ladder.cache_clear()
    np.testing.assert_array_equal(sign_flip.smallest_effects(3, 0.8, 0.05), first)


def test_the_range_of_an_sd_is_the_chi_square_tables():
    """Tabled .975 and .025 quantiles: 7.378 and 0.0506 at 2 degrees of freedom, 19.02 and 2.700 at 9."""
    assert power.sd_factors(3) == pytest.approx((math.sqrt(2 / 7.378), math.sqrt(2 / 0.0506)), rel=1e-3)
    assert power.sd_factors(10) == pytest.approx((math.sqrt(9 / 19.02), math.sqrt(9 / 2.700)), rel=1e-3)


def test_seeds_needed_by_family_and_by_store(tmp_path: Path):
    write_sweep(tmp_path, THREE, seeds=4)
    store = read_store(tmp_path)
    (setting,) = tables.settings(store)
    question, pairs = tables.question_family(setting), tables.all_pairs_family(setting)
    assert (len(question.table), len(pairs.table)) == (2, 3)
    widest = max(float(np.std(d, ddof=1)) for d in question.differences.values())
    assert power.spreads(question)[0].sd == pytest.approx(widest)
    needed = power.seeds_needed(question, 0.1)
    assert needed == power.seeds_needed(store, 0.1) == power.seeds_for(widest, 2, Target(0.1))
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
    (setting,) = tables.settings(store)
    sd = float(np.std(tables.contrast_family(setting).differences["step − token"], ddof=1))
    assert power.seeds_needed(store, 0.1) == power.seeds_for(sd, 1, Target(0.1))
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
    assert "step arms against the others, Holm over 9 comparisons. No verdict is possible below 9" in said.out
    assert "all pairs, Holm over 15 comparisons. No verdict is possible below 10 seeds" in said.out
    assert "between 0.52 and 6.28 times it" in " ".join(said.out.split())
    for seeds, least in ((3, "0.25"), (5, "0.062"), (6, "0.031")):
        assert f"none: with {seeds} seeds the smallest p of the exact test times the family" in said.out
        assert f"({least} x 9 > 0.05)" in said.out
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
    assert "Holm over 1 comparison. No verdict is possible below 5 seeds" in said
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
