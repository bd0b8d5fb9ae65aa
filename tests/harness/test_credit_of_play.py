"""What was played, written down and read back, gets the credit that training gives."""

import json
from dataclasses import replace

import numpy as np
import pytest

from algorithms.shared.kl_reward import with_kl_in_reward
from harness import record
from harness.compose import compose_run
from harness.credit import built, credited, main, read
from harness.records.writer import packed
from harness.run import Run
from harness.store import RunDir

SMALL = ["batch.trajectories=32", "batch.minibatches=2", "model.clone_updates=40", "env.train_tasks=2",
         "env.eval_tasks=2", "env.horizon=8", "env.rooms=2", "env.key=false"]  # fmt: skip


@pytest.mark.parametrize(
    "name", ["ppo", "steppo", "rloo", "g2po", "tree_grpo", "appo", "oracle", "random_credit"]
)
def test_a_played_batch_gets_the_credit_of_training(name, tmp_path, capsys):
    cell = compose_run([f"algorithm={name}", *SMALL])
    run = Run(cell, RunDir.create(tmp_path, cell), tmp_path)
    roots = run.sampler.play_roots(range(cell.tasks_per_iteration))
    trajectories, _ = run.sampler.play_branches(roots, sampler_is_current=True)
    batch = run.trainer._with_columns(run.sampler.batch(trajectories), trajectories)
    drift = np.random.default_rng(0).normal(0, 0.1, len(batch.logprob_T))
    batch = replace(batch, current_logprob_T=batch.logprob_T + drift)
    file = tmp_path / "played.jsonl.gz"
    goals = {task.id: task.goal for task in cell.env.training_panel()}
    file.write_bytes(packed(trajectories, batch, run.prompts.texts, goals))
    assert main([str(file), "--algorithms", name]) == 0
    advantages = [json.loads(printed)["advantages"] for printed in capsys.readouterr().out.splitlines()]
    flat = [value for trajectory in advantages for step in trajectory for value in step]
    np.testing.assert_allclose(flat, cell.algorithm.credit(batch).advantage_T, atol=1e-9)
    assert batch.success_N.any()
    assert np.ptp(flat) > 0, "somebody must have won, or there is nothing to compare"


@pytest.mark.parametrize("name", ["ppo", "rloo"])
def test_a_recorded_evaluation_gets_the_credit_of_its_episodes(name, tmp_path, monkeypatch):
    """Every algorithm that can read the file says what it says of the batch that was written down."""
    cell = compose_run([f"algorithm={name}", *SMALL])
    run_dir = RunDir.create(tmp_path, cell)
    run = Run(cell, run_dir, tmp_path)
    before = run.ledger.spent("flops")
    written = []
    monkeypatch.setattr(record, "packed", lambda *a: written.append(a) or packed(*a))
    run._evaluate(0)
    [(trajectories, batch, _, _)] = written
    assert len(trajectories) == cell.evaluation.record * cell.evaluation.episodes
    records = read(str(run_dir.trajectories / "0.jsonl.gz"))
    assert [each.task for each in records] == [each.task_id for each in trajectories]
    assert [s.given["tokens"][-1] for each in records for s in each.steps].count("<end>") > 0
    readable = {"ppo": ["ppo", "steppo", "capo"], "rloo": ["rloo", "reinforce_pp"]}[name]
    algorithms = [built(each, {}) for each in (*readable, "grpo", "gigpo", "g2po", "appo", "oracle")]
    for algorithm, result in zip(algorithms, credited(records, algorithms, seed=0), strict=True):
        expected = algorithm.credit(with_kl_in_reward(batch, algorithm)).advantage_T
        np.testing.assert_array_equal(result.credit.advantage_T, expected, err_msg=algorithm.name)
    assert run.ledger.spent("flops") == before, "outside the budget"
