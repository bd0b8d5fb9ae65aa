"""Whole cells: deterministic, resumable to the byte, the budget kept, the ledger right."""

import json
from pathlib import Path

import numpy as np
import pytest

import harness.run
from harness.config import RunConfig, compose_run
from harness.run import Run
from harness.store import RunDir, read_json

SMALL = [
    "batch.trajectories=16",
    "batch.minibatches=1",
    "model.clone_updates=20",
    "env.horizon=6",
    "evaluation.points=3",
    "evaluation.window=1",
    "evaluation.episodes=1",
    "env.train_tasks=4",
    "env.eval_tasks=2",
    "budget.limit=5e9",
]
WITH_ALL_STATE = ["ppo", "g2po", "appo"]
"""A critic, a reference policy, branches: all the state that a run can have."""


@pytest.fixture(scope="module")
def warm_starts(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("warm")


def config(*overrides: str) -> RunConfig:
    return compose_run([*SMALL, *overrides])


def finish(config: RunConfig, out: Path, warm_starts: Path) -> RunDir:
    run_dir = RunDir.create(out, config)
    Run(config, run_dir, warm_starts).finish()
    return run_dir


def lines(run_dir: RunDir, kind: str) -> list[dict]:
    return [row for row in map(json.loads, run_dir.metrics.open()) if row["kind"] == kind]


class Killed(Exception):
    """Stands for SIGKILL: nothing of the run's own code handles it."""


@pytest.mark.parametrize("name", WITH_ALL_STATE)
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(name, tmp_path, warm_starts, monkeypatch):
    cell = config(f"algorithm={name}")
    calm = finish(cell, tmp_path / "calm", warm_starts)
    again = finish(cell, tmp_path / "again", warm_starts)
    assert calm.metrics.read_bytes() == again.metrics.read_bytes()

    appended = harness.run.append_line
    calls = {"left": 0}

    def dying(path, content) -> None:
        appended(path, content)
        calls["left"] -= 1
        if calls["left"] == 0:
            raise Killed

    monkeypatch.setattr(harness.run, "append_line", dying)
    killed = RunDir.create(tmp_path / "killed", cell)
    deaths = 0
    for lifetime in (3, 5, 6, 1000):
        calls["left"] = lifetime
        try:
            Run(cell, killed, warm_starts).finish()
            break
        except Killed:
            deaths += 1
    assert deaths >= 2
    assert killed.metrics.read_bytes() == calm.metrics.read_bytes()
    assert killed.result.read_bytes() == calm.result.read_bytes()


def test_budget_curve_and_result(tmp_path, warm_starts):
    cell = config("algorithm=grpo")
    run_dir = finish(cell, tmp_path, warm_starts)
    result, evaluations, train = (
        read_json(run_dir.result),
        lines(run_dir, "evaluation"),
        lines(run_dir, "train"),
    )
    spent = [row["flops"] for row in train]
    assert spent[-1] >= cell.budget.limit > spent[-2], "stops at the first iteration past the limit"
    assert result["overshoot"] == pytest.approx(spent[-1] / cell.budget.limit - 1)
    assert evaluations[0]["fraction"] == 0
    assert evaluations[-1]["fraction"] == 1
    assert result["final_success"] == evaluations[-1]["success"]
    for row in evaluations:
        assert row["flops"] >= row["fraction"] * cell.budget.limit


def test_the_ledger_adds_up(tmp_path, warm_starts):
    """Phases against the closed forms that must hold between them."""
    phases = {}
    for name in ("grpo", "ppo", "appo"):
        ledger = read_json(finish(config(f"algorithm={name}"), tmp_path, warm_starts).result)["ledger"]
        phases[name] = ledger["phases"]
        assert all(entry["computed"] <= entry["flops"] for entry in ledger["phases"].values())
    grpo, ppo, appo = phases["grpo"], phases["ppo"], phases["appo"]
    assert grpo["actor_train"]["flops"] == 3 * grpo["score_reference"]["flops"]
    assert grpo["actor_train"]["tokens"] == grpo["prefill"]["tokens"] + grpo["decode"]["tokens"]
    assert grpo["critic_train"]["flops"] == grpo["decode_branch"]["flops"] == 0
    assert ppo["critic_train"]["flops"] == 3 * ppo["critic_forward"]["flops"]
    assert ppo["score_reference"]["flops"] == 0
    assert appo["actor_train"]["flops"] == 3 * appo["branch_scoring"]["flops"], "roots only are trained"
    assert appo["decode_branch"]["tokens"] > appo["decode"]["tokens"]


def test_arms_share_weights_tasks_and_first_rollouts(tmp_path, warm_starts):
    """Common random numbers: before any update, GRPO and GiGPO play the same episodes."""
    runs = [
        Run(c, RunDir.create(tmp_path, c), warm_starts)
        for c in map(config, ("algorithm=grpo", "algorithm=gigpo"))
    ]
    for left, right in zip(
        runs[0].learner.policy.parameters(), runs[1].learner.policy.parameters(), strict=True
    ):
        assert np.array_equal(left.detach().numpy(), right.detach().numpy())
    first = [run._play_roots(range(4)) for run in runs]
    responses = [[step.response_ids for e in episodes for step in e.steps] for episodes in first]
    assert responses[0] == responses[1]


def test_arms_share_the_noise_of_an_episode(tmp_path, warm_starts):
    """However many rollouts an arm samples of a task, equal (draw, rollout) means an equal seed."""
    seeds = []
    for name in ("ppo", "grpo", "appo"):
        cell = config(f"algorithm={name}", "env.slip=0.2")
        run = Run(cell, RunDir.create(tmp_path, cell), warm_starts)
        seeds.append({(e.draw, e.rollout): e.seed for e in run._play_roots(range(1, 3))})
    assert seeds[0].items() <= seeds[2].items() <= seeds[1].items()


def test_micro_batches_do_not_change_the_update(tmp_path, warm_starts):
    for name in ("ppo", "steppo", "g2po"):
        scores = []
        for tokens in (200, 10**6):
            cell = config(f"algorithm={name}", f"batch.micro_tokens={tokens}", "budget.limit=1")
            rows = lines(finish(cell, tmp_path, warm_starts), "train")
            scores.append([rows[0][key] for key in ("policy_loss", "grad_norm", "entropy", "ratio")])
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-6, rtol=1e-4)


def test_first_update_of_an_iteration_has_ratio_one(tmp_path, warm_starts):
    """At lr 0 the policy never moves: sampled and trained log-probabilities must agree on every token."""
    cell = config("algorithm=steppo", "model.lr=0", "model.weight_decay=0")
    for row in lines(finish(cell, tmp_path, warm_starts), "train"):
        assert row["ratio"] == pytest.approx(1, abs=1e-5)
        assert row["clip_fraction"] == 0
