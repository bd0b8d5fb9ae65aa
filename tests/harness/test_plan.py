"""The plan: where cells stand, what they cost, and that making it writes nothing."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness import sweep as command
from harness.cells import arm_names, options_of
from harness.compose import compose_run, compose_sweep
from harness.config.plain import to_plain
from harness.errors import UserError
from harness.ledger import Ledger, Phase
from harness.planning import plan as planning
from harness.planning.disk import cell_bytes, checkpoint_bytes
from harness.planning.plan import Plan, check_disk, plan
from harness.planning.text import NAMED, batch_table, cost_table, headline, standing_text, tables
from harness.run import Run
from harness.store import RunDir, cell_id, write_json
from harness.store.checksums import file_hash, write_sealed
from harness.store.run_dir import KEPT_CHECKPOINTS, cell_ids
from tests.harness.test_predict import SMALL

LIMIT = 1e11


def planned(out: Path, *overrides: str) -> Plan:
    """The plan of two arms and 18 seeds."""
    seeds = ",".join(map(str, range(18)))
    arms = ["sweep.algorithms=[grpo,appo]", f"sweep.seeds=[{seeds}]", f"budget.limit={LIMIT}"]
    return plan(*compose_sweep(["+sweep=smoke", *arms, f"sweep.out={out}", "launcher.workers=2", *overrides]))


def stored(out: Path, planned: Plan, arm: int, seed: int) -> RunDir:
    """The directory of one of the plan's cells."""
    (name,) = cell_ids(planned.arms[arm].config, [seed])
    run_dir = RunDir(out / "runs" / name)
    run_dir.checkpoints.mkdir(parents=True)
    write_json(run_dir.path / "config.json", to_plain(replace(planned.arms[arm].config, seed=seed)))
    return run_dir


def checkpoint(run_dir: RunDir, iteration: int, flops: float) -> None:
    ledger = Ledger()
    ledger.add(Phase.actor_train, tokens=0, flops=int(flops))
    ledger.add(Phase.evaluation, tokens=0, flops=10**15)
    folder = run_dir.checkpoints / str(iteration)
    folder.mkdir()
    write_sealed(folder / "state.json", {"seconds": 5.0, "ledger": ledger.to_plain()})


def finish(run_dir: RunDir, seconds: float) -> None:
    part = {"rollout": seconds / 4, "update": seconds / 4, "phases": {"decode": 99.0}}
    lines = [{"iteration": 0, "evaluation": seconds / 2}, {"iteration": 1, **part}]
    run_dir.timing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run_dir.metrics.write_text('{"kind": "evaluation"}\n')
    sums = {"metrics_sha256": file_hash(run_dir.metrics)}
    write_sealed(run_dir.result, {"scores": [0.5], "final_success": 0.5, **sums})


def files(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}


def test_every_cell_is_counted_where_it_stands(tmp_path):
    new = planned(tmp_path)
    assert standing_text(new.cells) == "0 done, 36 to start"
    for seed in range(3):
        finish(stored(tmp_path, new, 0, seed), 20.0)
    resumed = [stored(tmp_path, new, 1, seed) for seed in range(2)]
    checkpoint(resumed[0], 2, 0.1 * LIMIT)
    checkpoint(resumed[0], 11, 0.7 * LIMIT)
    (resumed[0].checkpoints / "12").mkdir()
    checkpoint(resumed[1], 3, 0.4 * LIMIT)
    write_json(stored(tmp_path, new, 0, 3).failure, {"reason": "x"})
    held = stored(tmp_path, new, 1, 2)
    with held.lease(lost=lambda: None):
        before = files(tmp_path)
        again = planned(tmp_path)
        assert files(tmp_path) == before, "looking creates nothing"
    assert standing_text(again.cells) == (
        "3 done, 2 to resume from 40 % and 70 % (last checkpoints), 1 running elsewhere, 29 to start, "
        "1 failed before: tried again"
    )
    grpo, appo = again.arms
    assert (grpo.unfinished, appo.unfinished) == (15, 18)
    assert grpo.seconds_left == pytest.approx(15 * 20.0)
    assert appo.seconds_left == pytest.approx((16 + 0.6 + 0.3) * LIMIT / 2e10)


def test_many_to_resume_are_summed_up(tmp_path):
    new = planned(tmp_path)
    for seed in range(NAMED + 1):
        checkpoint(stored(tmp_path, new, 0, seed), 1, (0.1 + 0.05 * seed) * LIMIT)
    assert f"{NAMED + 1} to resume from 10 % to 50 %" in standing_text(planned(tmp_path).cells)


def test_damaged_checkpoints_are_no_obstacle(tmp_path):
    run_dir = stored(tmp_path, planned(tmp_path), 0, 0)
    checkpoint(run_dir, 1, 1.0)
    (run_dir.checkpoints / "1" / "state.json").write_text("{")
    assert standing_text(planned(tmp_path).cells) == "0 done, 36 to start"


def test_seconds_are_measured_where_the_store_has_the_arm_at_any_seed(tmp_path):
    new = planned(tmp_path)
    finish(stored(tmp_path, new, 0, 90), 10.0)
    finish(stored(tmp_path, new, 0, 91), 30.0)
    finish(stored(tmp_path, planned(tmp_path, "algorithm.clip_high=0.3"), 0, 92), 99.0)
    grpo, appo = planned(tmp_path).arms
    assert (grpo.seconds, grpo.measured) == (20.0, 2), "another setting's seconds are no part of it"
    assert (appo.seconds, appo.measured) == (LIMIT / 2e10, 0)
    both = planned(tmp_path)
    assert both.seconds == pytest.approx((18 * 20.0 + 18 * 5.0) / 2)
    assert "measured here (2 cells)" in cost_table(both)
    assert "at 2e+10 FLOP/s assumed" in cost_table(both)
    faster = planned(tmp_path, "launcher.flops_per_second=1e11")
    assert faster.arms[1].seconds == pytest.approx(1.0)


def test_a_sweep_takes_as_long_as_its_longest_cell(tmp_path):
    few = planned(tmp_path, "sweep.seeds=[0]", "launcher.workers=8")
    assert few.seconds == pytest.approx(LIMIT / 2e10)


def test_flops_on_other_axes_follow_an_iterations_ratio(tmp_path):
    (grpo, _) = planned(tmp_path, "budget.axis=env_steps", "budget.limit=10000").arms
    assert grpo.flops == pytest.approx(10000 * grpo.most.flops / grpo.most.env_steps)
    assert grpo.iterations == 10000 // grpo.most.env_steps
    (grpo, _) = planned(tmp_path, "budget.axis=gpu_seconds", "budget.limit=60").arms
    assert (grpo.seconds, grpo.iterations) == (60, None)
    run_dir = stored(tmp_path, planned(tmp_path, "budget.axis=gpu_seconds", "budget.limit=20"), 0, 0)
    checkpoint(run_dir, 1, 0)
    begun = planned(tmp_path, "budget.axis=gpu_seconds", "budget.limit=20")
    assert "1 to resume from 25 % (last checkpoint)" in headline(begun)
    assert "the budget, without evaluations" in cost_table(begun)


def test_one_rule_gives_every_arm_its_batch():
    """128 trajectories, dealt to 4 optimiser steps in whole tasks; episodes of at most 20 steps."""
    arms = plan(*compose_sweep(["+sweep=zoo", "sweep.seeds=[0]"])).arms
    for arm in arms:
        each = arm.config.algorithm.plan().trajectories
        assert arm.config.tasks_per_iteration == 128 // each // 4 * 4
        assert arm.rows == arm.config.tasks_per_iteration // 4 * each * 20
    assert {arm.rows for arm in arms} == {640, 600}, "Tree-GRPO's 6 rollouts do not divide 128"
    text = batch_table(plan(*compose_sweep(["+sweep=all_algos"])))
    assert "8 x 16 (4 roots)        4   640" in text
    assert "128 x 1        4   640" in text


@pytest.mark.parametrize("name", ["all_algos", "ablations", "branching"])
def test_arms_are_named_as_in_the_report_and_fit_a_terminal(name):
    sweep, launcher, cells = compose_sweep([f"+sweep={name}"])
    made = plan(sweep, launcher, cells)
    options = {cell_id(cell): options_of(to_plain(cell)) for cell in cells}
    assert {arm.name for arm in made.arms} == set(arm_names(list(options), options).values())
    text = f"{headline(made)}\n{tables(made)}"
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize("algorithm", ["ppo", "appo", "grpo"])
def test_a_cell_takes_the_disk_and_the_rows_that_were_planned(algorithm, tmp_path):
    own = {"appo": ["algorithm.gain=lagged"], "grpo": ["rollout.overlap=true"]}
    options = [*own.get(algorithm, []), *SMALL, "evaluation.points=3", "budget.limit=9e9"]
    config = compose_run([f"algorithm={algorithm}", *options])
    run_dir = RunDir.create(tmp_path, config)
    Run(config, run_dir, tmp_path).finish()
    kept = run_dir.complete_checkpoints()
    tensors = [path.stat().st_size for path in kept[-1].glob("*.safetensors")]
    assert sum(tensors) == pytest.approx(checkpoint_bytes(config), rel=0.02)
    lines = run_dir.metrics.read_text().splitlines()
    taken = sum(path.stat().st_size for path in run_dir.path.rglob("*"))
    assert len(kept) == KEPT_CHECKPOINTS
    assert 0.8 * cell_bytes(config, len(lines)) < taken < cell_bytes(config, len(lines))
    (arm,) = plan(*compose_sweep(["+sweep=smoke", f"sweep.algorithms=[{algorithm}]", *options])).arms
    train = [row for row in map(json.loads, lines) if row["kind"] == "train"]
    assert max(row["updates"] for row in train) == config.batch.minibatches
    assert 0 < max(row.get("rows", 0) for row in train) <= arm.rows


def test_a_full_disk_is_refused_before_anything_runs(tmp_path, monkeypatch, capsys):
    made = planned(tmp_path)
    usage = planning.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: usage._replace(free=made.disk))
    check_disk(made)
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: usage._replace(free=made.disk - 1))
    with pytest.raises(UserError, match=r"36 cells can take .* GB: set sweep.out"):
        check_disk(made)
    out = tmp_path / "new"
    monkeypatch.setattr(planning.shutil, "disk_usage", lambda path: usage._replace(free=10))
    assert command.main(["+sweep=smoke", f"sweep.out={out}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not out.exists()
    for seed in range(18):
        finish(stored(tmp_path, made, 0, seed), 1.0)
        finish(stored(tmp_path, made, 1, seed), 1.0)
    check_disk(planned(tmp_path))


def test_dry_run_of_a_store_creates_nothing(tmp_path, capsys):
    checkpoint(stored(tmp_path, planned(tmp_path), 0, 0), 1, 0.5 * LIMIT)
    before = files(tmp_path)
    arguments = ["+sweep=smoke", "sweep.algorithms=[grpo]", f"budget.limit={LIMIT}", f"sweep.out={tmp_path}"]
    assert command.main([*arguments, "--dry-run"]) == 0
    assert "1 cell, 0 done, 1 to resume from 50 % (last checkpoint)" in capsys.readouterr().out
    assert files(tmp_path) == before


def test_ten_thousand_cells_are_planned():
    seeds = ",".join(map(str, range(84)))
    made = plan(*compose_sweep(["+sweep=factorial", f"sweep.seeds=[{seeds}]"]))
    text = tables(made)
    assert len(made.cells) == 10_080
    assert "steppo, 72 arms each" in text, "what is equal is said once"


def test_a_reader_may_have_had_enough(tmp_path):
    arguments = [sys.executable, "-m", "harness.sweep", "+sweep=all_algos", "--dry-run"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 0
