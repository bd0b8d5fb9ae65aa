"""A cell's directory is in one state, whoever asks: plan, board, launcher and report."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board.sweep import read_sweep
from harness.compose import compose_run
from harness.config import BudgetAxis
from harness.config.plain import to_plain
from harness.distrust import Damaged
from harness.launch.local import Cell as ToRun
from harness.launch.local import progress
from harness.launch.slurm.standing import Standing, standing
from harness.lease import take
from harness.ledger import Ledger, Phase
from harness.planning import plan
from harness.reading.cell import AXES, Budget, Kind, State, read_cell, seconds, share_spent
from harness.reading.whole import check_sums, spent_at_checkpoint, stand
from harness.store import RunDir, cell_id, read_json, write_json
from harness.store.checksums import file_hash, write_sealed
from harness.tracker.points import read_points
from reports.store import read_store

LIMIT = 1e9
CONFIG = compose_run([f"budget.limit={LIMIT}", "evaluation.window=1"])
COUNTS = {"tokens": 1, "env_steps": 1, "trajectories": 1}


def evaluation(share: float, success: float) -> dict[str, object]:
    spent = {"flops": share * LIMIT, **COUNTS}
    scores = {"fraction": share, "success": success, "greedy_success": success}
    return {"kind": "evaluation", "iteration": int(10 * share), **spent, **scores}


def write_lines(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def unfinished(out: Path) -> RunDir:
    """A cell with two evaluations, at 0 and 40 % of its budget, a checkpoint at each, and a line at 60 %."""
    run_dir = RunDir.create(out, CONFIG)
    lines: list[dict[str, object]] = []
    for share in (0.0, 0.4):
        lines.append(evaluation(share, share))
        write_lines(run_dir.metrics, lines)
        ledger = Ledger()
        ledger.add(Phase.actor_train, tokens=0, flops=int(share * LIMIT))
        with run_dir.new_checkpoint(int(10 * share), {"seconds": 1.0, "ledger": ledger.to_plain()}) as folder:
            (folder / "policy.safetensors").write_bytes(b"weights")
    write_lines(run_dir.metrics, [*lines, {"kind": "train", "iteration": 6, "flops": 0.6 * LIMIT, **COUNTS}])
    write_lines(run_dir.timing, [{"iteration": 6, "rollout": 2.0, "update": 3.0, "rollout_hidden": 9.0}])
    write_lines(run_dir.attempts, [{"iteration": 0, "code": "a", "redone": {"flops": 0, "seconds": 0}}])
    return run_dir


def finished(out: Path) -> RunDir:
    """The same cell, done."""
    run_dir = unfinished(out)
    write_lines(run_dir.metrics, [evaluation(0.0, 0.0), evaluation(0.4, 0.4), evaluation(1.0, 0.5)])
    result = {
        "final_success": 0.5,
        "scores": [0.0, 0.4, 0.5],
        "iterations": 10,
        "overshoot": 0.0,
        "panel_hash": "p",
        "start_hash": "s",
        "ledger": Ledger().to_plain(),
        "versions": {},
        "metrics_sha256": file_hash(run_dir.metrics),
    }
    write_sealed(run_dir.result, result)
    return run_dir


def nothing(_: RunDir) -> None:
    pass


def fail(run_dir: RunDir) -> None:
    write_json(run_dir.failure, {"reason": "ConnectionError: refused", "kind": "infrastructure"})


def change(name: str, edit: Callable[[str], str]) -> Callable[[RunDir], None]:
    def damage(run_dir: RunDir) -> None:
        path = run_dir.path / name
        path.write_text(edit(path.read_text()))

    return damage


def remove(name: str) -> Callable[[RunDir], None]:
    return lambda run_dir: (run_dir.path / name).unlink()


Case = tuple[Callable[[Path], RunDir], Callable[[RunDir], None], bool, State, str]
"""What is written, what is done to it, whether a live process holds it; the state, words of the reason."""
CASES: dict[str, Case] = {
    "not started": (lambda out: RunDir(out / "runs" / cell_id(CONFIG)), nothing, False, State.waiting, ""),
    "killed before the first line": (
        lambda out: RunDir.create(out, CONFIG), nothing, False, State.waiting, "",
    ),
    "killed while it made its folder": (
        lambda out: RunDir.create(out, CONFIG), remove("config.json"), False, State.waiting, "",
    ),
    "stopped": (unfinished, nothing, False, State.interrupted, ""),
    "stopped in a write": (
        unfinished, change("metrics.jsonl", lambda text: text + '{"kind": "tr'), False, State.interrupted, "",
    ),
    "torn checkpoint": (
        unfinished, change("checkpoints/4/state.json", lambda text: text[:30]), False, State.interrupted, "",
    ),
    "running": (unfinished, nothing, True, State.running, ""),
    "failed": (unfinished, fail, False, State.failed, "ConnectionError: refused"),
    "failed before, tried again": (unfinished, fail, True, State.running, ""),
    "garbage at the end of metrics": (
        unfinished, change("metrics.jsonl", lambda text: text + "\0\n"), False, State.damaged, "metrics",
    ),
    "garbage failure": (
        unfinished, lambda run_dir: run_dir.failure.write_text("[]"), False, State.damaged, "failure.json",
    ),
    "begun, no config": (unfinished, remove("config.json"), False, State.damaged, "config.json: missing"),
    "done": (finished, nothing, False, State.done, ""),
    "done, let go in a moment": (finished, nothing, True, State.done, ""),
    "done, and an old failure": (finished, fail, False, State.done, ""),
    "done, no config": (finished, remove("config.json"), False, State.damaged, "config.json: missing"),
    "done, torn config": (
        finished, change("config.json", lambda text: text[:40]), False, State.damaged, "config.json",
    ),
    "done, foreign config": (
        finished, change("config.json", lambda _: '{"lr": 1}'), False, State.damaged, "config.json",
    ),
    "done, garbage result": (
        finished, change("result.json", lambda _: "garbage"), False, State.damaged, "result.json",
    ),
    "done, result without scores": (
        finished, change("result.json", lambda _: "{}"), False, State.damaged, "result.json",
    ),
    "done, no metrics": (finished, remove("metrics.jsonl"), False, State.damaged, "metrics.jsonl"),
    "done, empty metrics": (
        finished, change("metrics.jsonl", lambda _: ""), False, State.damaged, "metrics.jsonl",
    ),
    "damaged, being mended": (finished, remove("metrics.jsonl"), True, State.running, ""),
}  # fmt: skip


def tell(run_dir: RunDir, out: Path) -> dict[str, tuple[State, str]]:
    """State and reason of the only cell of a sweep, by who says so."""
    name = run_dir.path.name
    write_json(out / "sweep.json", {"name": "one", "command": "", "cells": [name]})
    [cells] = read_sweep(out).arms.values()
    planned = plan.standing(run_dir.path)
    launcher = stand(run_dir.path)
    [row] = read_store(out).runs.to_dict("records")
    reported = row["reason"].removeprefix(f"{name}/") if row["state"] in ("damaged", "failed") else ""
    return {
        "board": (cells[0].state, cells[0].reason),
        "plan": (planned.state, planned.reason),
        "launcher": (launcher.state, launcher.reason),
        "report": (State(row["state"]), reported),
    }


@pytest.mark.parametrize("name", CASES)
def test_everybody_says_the_same(name, tmp_path):
    write, change, held, state, words = CASES[name]
    run_dir = write(tmp_path)
    change(run_dir)
    lease = take(run_dir.path) if held else None
    assert (lease is not None) == held
    told = tell(run_dir, tmp_path)
    assert {found for found, _ in told.values()} == {state}, told
    if state is not State.running:
        assert len({reason for _, reason in told.values()}) == 1, told
        assert words in told["board"][1]
    if state is State.damaged:
        with pytest.raises(Damaged):
            read_points(run_dir)
    if state is State.done:
        assert read_points(run_dir)[1], "a tracker takes it for finished"
    due = {State.done: Standing.done, State.running: Standing.alive}
    failed = (State.failed, State.damaged)
    expected = due.get(state, Standing.failed if state in failed else Standing.new)
    assert standing(run_dir, ()) is expected


INSIDE = {
    "a number": ("metrics.jsonl", lambda text: text.replace("0.4", "0.9", 1)),
    "cut short": ("metrics.jsonl", lambda text: text[: len(text) // 2]),
    "the result": ("result.json", lambda text: text.replace('"final_success": 0.5', '"final_success": 0.6')),
}


@pytest.mark.parametrize("name", INSIDE)
def test_who_runs_or_counts_a_finished_cell_compares_checksums(name, tmp_path):
    """The board, which reads no whole file, goes on saying that it is done."""
    run_dir = finished(tmp_path)
    assert {state for state, _ in tell(run_dir, tmp_path).values()} == {State.done}
    change(*INSIDE[name])(run_dir)
    told = tell(run_dir, tmp_path)
    assert {who: state for who, (state, _) in told.items()} == {
        "board": State.done,
        "plan": State.damaged,
        "launcher": State.damaged,
        "report": State.damaged,
    }
    assert "is not what was written" in told["report"][1]


def test_damage_inside_an_unfinished_cell_is_a_note_of_the_report(tmp_path):
    """Its next attempt goes on from a checkpoint that still fits; until then it has no curve."""
    run_dir = unfinished(tmp_path)
    change("metrics.jsonl", lambda text: "{torn" + text[5:])(run_dir)
    assert {state for state, _ in tell(run_dir, tmp_path).values()} == {State.interrupted}
    store = read_store(tmp_path)
    assert len(store.curve) == 0
    [note] = store.notes
    assert note.startswith(f"{run_dir.path.name}/metrics.jsonl, line 1: not a JSON object")
    assert note.endswith("its curve is left out, and the run's next attempt fixes it")


def test_shares_of_the_budget_are_told_apart(tmp_path):
    run_dir = unfinished(tmp_path)
    cell = plan.standing(run_dir.path)
    assert (cell.spent, cell.spent_at_checkpoint, cell.success) == (0.6, 0.4, 0.4)
    assert cell.left == pytest.approx(0.6)
    assert progress(ToRun(CONFIG, run_dir)) == "60 %"
    (run_dir.checkpoints / "4" / "state.json").write_text("{torn")
    assert spent_at_checkpoint(run_dir.path, Budget("flops", LIMIT)) == 0.0, "it goes on from the older one"
    assert seconds(str(run_dir.path)) == 5.0


@pytest.mark.parametrize("length", [5_000, 200_000])
def test_a_line_longer_than_the_end_that_is_read_first(length, tmp_path):
    run_dir = unfinished(tmp_path)
    line = {"kind": "train", "iteration": 7, "flops": 0.7 * LIMIT, "note": "x" * length}
    with run_dir.metrics.open("a") as file:
        file.write(json.dumps(line) + "\n")
    assert share_spent(str(run_dir.path), Budget("flops", LIMIT)) == 0.7
    run_dir.metrics.write_text("\0\n")
    assert progress(ToRun(CONFIG, run_dir)) == "?"


REASONS = {
    "FloatingPointError: the gradient is not finite: the run has diverged": Kind.algorithm,
    "PeerFailed: rank 1: FloatingPointError: the gradient is not finite": Kind.algorithm,
    "ConnectionError: no FloatingPointError": Kind.infrastructure,
    "OutOfMemoryError: CUDA out of memory": Kind.infrastructure,
    "RuntimeError: the code changed from a to b": Kind.infrastructure,
}


@pytest.mark.parametrize("reason", REASONS)
def test_what_made_a_cell_fail(reason, tmp_path):
    run_dir = unfinished(tmp_path)
    write_json(run_dir.failure, {"reason": reason})
    assert stand(run_dir.path).kind is REASONS[reason]
    assert stand(run_dir.path).repeats == (REASONS[reason] is Kind.algorithm)
    write_json(run_dir.failure, {"reason": reason, "kind": "algorithm"})
    assert stand(run_dir.path).kind is Kind.algorithm, "what was written counts"
    write_json(run_dir.failure, {"reason": reason, "kind": ["garbage"]})
    assert stand(run_dir.path).kind is REASONS[reason]


def test_a_finished_cell_is_read_once_and_again_when_it_changes(tmp_path, monkeypatch):
    run_dir = finished(tmp_path)
    first = stand(run_dir.path)
    assert stand(run_dir.path) is first
    change("metrics.jsonl", lambda text: text.replace("0.4", "0.9", 1))(run_dir)
    assert stand(run_dir.path).state is State.damaged


def test_a_checksum_is_compared_by_who_asks_for_it(tmp_path):
    run_dir = finished(tmp_path)
    write_json(run_dir.result, {**read_json(run_dir.result), "final_success": 0.9})
    folder, now = str(run_dir.path), time.time()
    assert read_cell(folder, run_dir.path.name, now).state is State.done
    assert read_cell(folder, run_dir.path.name, now, check_sums).state is State.damaged


def test_axes_are_the_budgets(tmp_path):
    assert set(AXES) == {axis.value for axis in BudgetAxis}


def test_a_configuration_is_mended_and_one_that_records_otherwise_kept(tmp_path):
    run_dir = RunDir.create(tmp_path, CONFIG)
    path = run_dir.path / "config.json"
    recording = replace(CONFIG, evaluation=replace(CONFIG.evaluation, record=7))
    assert cell_id(recording) == cell_id(CONFIG)
    RunDir.create(tmp_path, recording)
    assert read_json(path) == to_plain(CONFIG)
    for content in ("", "{", "[]", '{"evaluation": 7}', json.dumps({**to_plain(CONFIG), "seed": 9})):
        path.write_text(content)
        RunDir.create(tmp_path, CONFIG)
        assert read_json(path) == to_plain(CONFIG), content
