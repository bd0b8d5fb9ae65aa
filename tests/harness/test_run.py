"""Whole cells: deterministic, resumable to the byte, the budget kept, the ledger right."""

import json
from pathlib import Path

import numpy as np
import pytest

import harness.run
from harness.compose import compose_run
from harness.config import RunConfig
from harness.ledger import Phase
from harness.planning.predict import forms
from harness.run import Run
from harness.store import RunDir, read_json
from harness.store.checksums import read_sealed

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
LAGGED = ["algorithm=appo", "algorithm.gain=lagged", "batch.trajectories=32", "batch.minibatches=2"]
OVERLAP = ["algorithm=arpo", "rollout.overlap=true", "batch.trajectories=32", "algorithm.entropy_coef=0.1"]
CRITIC = ["model.schedule=linear", "algorithm=ppo"]
HEAD = ["model.schedule=cosine", "model.critic=head", "algorithm=ppo"]
WITH_ALL_STATE = [CRITIC, HEAD, ["algorithm=g2po"], ["algorithm=appo"], LAGGED, OVERLAP]
"""Critics and rates that change, a reference policy, branches, older policies: the state of a run."""


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


@pytest.mark.parametrize("overrides", WITH_ALL_STATE, ids=lambda o: "+".join(o[:2]))
def test_a_killed_run_ends_with_the_bytes_of_a_calm_one(overrides, tmp_path, warm_starts, monkeypatch):
    cell = config(*overrides)
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
    attempts = [json.loads(line) for line in killed.attempts.open()]
    assert len(attempts) == deaths + 1
    assert attempts[0]["redone"] == dict.fromkeys(attempts[0]["redone"], 0)
    assert killed.metrics.read_bytes() == calm.metrics.read_bytes()
    assert killed.result.read_bytes() == calm.result.read_bytes()
    assert contents(killed.trajectories) == contents(calm.trajectories)
    assert "3.jsonl.gz" in contents(calm.trajectories)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_trajectory_files_after_the_checkpoint_are_dropped(tmp_path, warm_starts):
    """On an axis of seconds the next attempt may evaluate at other points; a crash may leave a half file."""
    cell = config("algorithm=grpo")
    run_dir = RunDir.create(tmp_path, cell)
    run = Run(cell, run_dir, warm_starts)
    run._resume()
    run._evaluate(0)
    run._checkpoint()
    run._evaluate(2)
    (run_dir.trajectories / ".3.jsonl.gz.1.tmp").write_bytes(b"half")
    Run(cell, run_dir, warm_starts)._resume()
    assert list(contents(run_dir.trajectories)) == ["0.jsonl.gz"]


def test_recording_changes_no_metric(tmp_path, warm_starts):
    """Not even where it scores with a critic or a reference policy."""
    for name in ("ppo", "rloo"):
        cells = [config(f"algorithm={name}", f"evaluation.record={tasks}") for tasks in (0, 2)]
        runs = [finish(cell, tmp_path / str(i), warm_starts) for i, cell in enumerate(cells)]
        assert runs[0].path.name == runs[1].path.name
        assert runs[0].metrics.read_bytes() == runs[1].metrics.read_bytes()
        assert not runs[0].trajectories.exists()
        results = [read_sealed(run.result) for run in runs]
        spent = [result["ledger"]["phases"].pop("evaluation") for result in results]
        assert spent[0]["flops"] < spent[1]["flops"]
        assert results[0] == results[1]


def test_work_that_is_done_again_is_noted(tmp_path, warm_starts):
    """Two iterations after the checkpoint are lost with the process; the next attempt says what that was."""
    cell = config("algorithm=grpo")
    run_dir = RunDir.create(tmp_path, cell)
    run = Run(cell, run_dir, warm_starts)
    run._resume()
    run._evaluate(0)
    run._checkpoint()
    run._iterate()
    run._iterate()
    lost = {axis: run.ledger.spent(axis) for axis in ("flops", "tokens", "env_steps", "trajectories")}
    times = [row for row in map(json.loads, run_dir.timing.open()) if "update" in row]
    seconds = sum(row["rollout"] + row["update"] for row in times)
    again = Run(cell, run_dir, warm_starts)
    again._resume()
    noted = [json.loads(line) for line in run_dir.attempts.open()][-1]
    assert noted["iteration"] == 0
    assert noted["redone"] == pytest.approx({**lost, "seconds": seconds})
    assert again.ledger.spent("flops") == 0


def test_seconds_and_memory_are_booked_by_phase(tmp_path, warm_starts):
    """Phases add up to the iteration's seconds, nearly: what they leave out is bookkeeping."""
    cell = config("algorithm=appo", "batch.trajectories=32", "batch.minibatches=2")
    run_dir = finish(cell, tmp_path, warm_starts)
    rows = [row for row in map(json.loads, run_dir.timing.open()) if "update" in row]
    expected = {
        "prefill_new",
        "decode",
        "decode_branch",
        "branch_scoring",
        "environment",
        "credit",
        "actor_train",
    }
    assert set(rows[0]["phases"]) == expected
    booked = sum(sum(row["phases"].values()) for row in rows)
    whole = sum(row["rollout"] + row["update"] for row in rows)
    assert 0.8 * whole < booked <= whole
    assert all(2**20 < memory < 2**40 for row in rows for memory in row["peak_memory"].values())


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
    before, last = evaluations[-2:]
    share = (cell.budget.limit - before["flops"]) / (last["flops"] - before["flops"])
    at_limit = before["success"] + share * (last["success"] - before["success"])
    assert result["final_success"] == pytest.approx(at_limit), "interpolated at exactly the limit"
    for row in evaluations:
        assert row["flops"] >= row["fraction"] * cell.budget.limit


@pytest.mark.parametrize(
    ("axis", "limit"),
    [("flops", 5e9), ("tokens", 2000), ("env_steps", 900), ("trajectories", 150), ("gpu_seconds", 0.5)],
)
def test_arms_stop_within_one_iteration_of_the_same_budget(axis, limit, tmp_path, warm_starts):
    """On every axis: the iteration in flight is finished, and no other is begun."""
    for name in ("grpo", "steppo"):
        cell = config(f"algorithm={name}", f"budget.axis={axis}", f"budget.limit={limit}")
        run_dir = finish(cell, tmp_path, warm_starts)
        spent = [0.0, *(row[axis] for row in lines(run_dir, "train"))]
        assert spent[-2] < limit <= spent[-1]
        result = read_json(run_dir.result)
        assert result["overshoot"] == pytest.approx(spent[-1] / limit - 1)
        assert lines(run_dir, "evaluation")[-1]["fraction"] == 1


def test_the_ledger_adds_up(tmp_path, warm_starts):
    """Phases against the closed forms that must hold between them."""
    phases = {}
    for name in ("grpo", "ppo", "appo"):
        cell = config(f"algorithm={name}", "batch.trajectories=32", "batch.minibatches=2")
        ledger = read_json(finish(cell, tmp_path, warm_starts).result)["ledger"]
        phases[name] = ledger["phases"]
        assert all(entry["computed"] <= entry["flops"] for entry in ledger["phases"].values())
    grpo, ppo, appo = phases["grpo"], phases["ppo"], phases["appo"]
    assert grpo["actor_train"]["flops"] == 3 * grpo["score_reference"]["flops"]
    prefilled = grpo["prefill_new"]["tokens"] + grpo["prefill_cached"]["tokens"]
    assert grpo["actor_train"]["tokens"] == prefilled + grpo["decode"]["tokens"]
    assert 0 == grpo["prefill_cached"]["computed"] < grpo["prefill_cached"]["flops"]
    headless = grpo["prefill_new"]["flops"] - 2 * forms(cell).head * grpo["prefill_new"]["tokens"]
    assert headless < grpo["prefill_new"]["computed"] < grpo["prefill_new"]["flops"], (
        "logits of the last alone"
    )
    assert grpo["critic_train"]["flops"] == grpo["decode_branch"]["flops"] == 0
    assert ppo["critic_train"]["flops"] == 3 * ppo["critic_forward"]["flops"]
    assert ppo["score_reference"]["flops"] == 0
    assert 0 < 3 * appo["branch_scoring"]["flops"] < appo["actor_train"]["flops"], (
        "roots only are trained, and before the first mini-batch there is nothing to score"
    )
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
    assert runs[0].start_hash == runs[1].start_hash
    first = [run.sampler.play_roots(range(4)) for run in runs]
    responses = [[step.response_ids for e in episodes for step in e.steps] for episodes in first]
    assert responses[0] == responses[1]


def test_arms_share_the_noise_of_an_episode(tmp_path, warm_starts):
    """However many rollouts an arm samples of a task, equal (draw, rollout) means an equal seed."""
    seeds = []
    for name in ("ppo", "grpo", "appo"):
        cell = config(f"algorithm={name}", "env.slip=0.2")
        run = Run(cell, RunDir.create(tmp_path, cell), warm_starts)
        seeds.append({(e.group, e.rollout): e.seed for e in run.sampler.play_roots(range(1, 3))})
    assert seeds[0].items() <= seeds[2].items() <= seeds[1].items()


def test_micro_batches_do_not_change_the_update(tmp_path, warm_starts):
    for name in ("ppo", "steppo", "capo", "g2po"):
        scores = []
        for tokens in (200, 10**6):
            cell = config(f"algorithm={name}", f"batch.micro_tokens={tokens}", "budget.limit=1")
            rows = lines(finish(cell, tmp_path, warm_starts), "train")
            scores.append([rows[0][key] for key in ("policy_loss", "grad_norm", "entropy", "ratio")])
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-6, rtol=1e-4)


def prefilled(run: Run) -> int:
    return sum(run.ledger.entries[phase].tokens for phase in (Phase.prefill_new, Phase.prefill_cached))


@pytest.mark.parametrize("name", ["appo", "arpo", "tree_grpo"])
def test_prefixes_are_neither_sampled_nor_prefilled_again(name, tmp_path, warm_starts):
    """Every token of a continuation was sampled for it or taken over from its parent, and is booked so."""
    cell = config(f"algorithm={name}", "env.horizon=10")
    run = Run(cell, RunDir.create(tmp_path, cell), warm_starts)
    roots = run.sampler.play_roots(range(2))
    before = prefilled(run)
    trajectories, _ = run.sampler.play_branches(roots, sampler_is_current=True)
    branches = trajectories[len(roots) :]
    assert len(trajectories) == 2 * cell.algorithm.rollouts
    tokens = sum(len(step.response_ids) for branch in branches for step in branch.steps)
    sampled, reused = run.ledger.entries[Phase.decode_branch].tokens, run.ledger.prefix_reused
    assert tokens == sampled + reused.tokens
    assert reused.tokens > 0
    assert reused.flops > 0
    played = [step for branch in branches for step in branch.steps[branch.branch.step :]]
    kept = sum(branch.branch.token for branch in branches)
    assert prefilled(run) - before == sum(len(step.prompt_ids) for step in played) + kept
    for branch in branches:
        parent, left = trajectories[branch.branch.parent], branch.branch.step
        assert branch.steps[:left] == parent.steps[:left]
        assert branch.steps[left].state_key == parent.steps[left].state_key


def test_kl_in_the_reward_is_zero_before_any_update(tmp_path, warm_starts):
    """The sampling policy is the start policy then, so that RLOO first credits the bare reward."""
    cell = config("algorithm=rloo")
    run = Run(cell, RunDir.create(tmp_path, cell), warm_starts)
    trajectories, _ = run.sampler.play_branches(run.sampler.play_roots(range(2)), sampler_is_current=True)
    batch = run.trainer._with_columns(run.sampler.batch(trajectories), trajectories)
    np.testing.assert_allclose(batch.reward_N, [t.reward for t in trajectories], atol=1e-6)
    assert run.ledger.entries[Phase.score_reference].flops > 0


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_learning_rates_follow_the_budget_not_the_iterations(schedule, tmp_path, warm_starts):
    cell = config("algorithm=ppo", f"model.schedule={schedule}", "model.lr=0.5", "model.critic_lr=0.25")
    run_dir = RunDir.create(tmp_path, cell)
    run = Run(cell, run_dir, warm_starts)
    run.finish()
    rows = lines(run_dir, "train")
    spent = [0.0, *(row["flops"] / cell.budget.limit for row in rows)][:-1]
    expected = {
        "constant": [1.0 for _ in spent],
        "linear": [1 - share for share in spent],
        "cosine": [np.cos(np.pi * share / 2) ** 2 for share in spent],
    }[schedule]
    np.testing.assert_allclose([row["lr"] for row in rows], 0.5 * np.array(expected), atol=1e-12)
    assert run.learner.critic_optimizer.groups[0].lr == pytest.approx(0.25 * expected[-1])


def test_first_update_of_an_iteration_has_ratio_one(tmp_path, warm_starts):
    """At lr 0 the policy never moves: sampled and trained log-probabilities must agree on every token."""
    cell = config("algorithm=steppo", "model.lr=0", "model.weight_decay=0")
    for row in lines(finish(cell, tmp_path, warm_starts), "train"):
        assert row["ratio"] == pytest.approx(1, abs=1e-5)
        assert row["clip_fraction"] == 0
