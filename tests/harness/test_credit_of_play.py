"""What was played, written down and read back, gets the credit that training gives."""

import json
from dataclasses import replace

import numpy as np
import pytest

from harness.config import compose_run
from harness.credit import main
from harness.records import Batch, Step, Trajectory
from harness.run import Run
from harness.store import RunDir

SMALL = ["batch.trajectories=32", "batch.minibatches=2", "model.clone_updates=40", "env.train_tasks=2",
         "env.eval_tasks=2", "env.horizon=8", "env.rooms=2", "env.key=false"]  # fmt: skip


def line(number: int, trajectory: Trajectory, batch: Batch) -> str:
    """The trajectory as docs/trajectory-format.md has it."""
    first = batch.first_step_N[number]
    steps = [step_of(step, int(first) + i, batch) for i, step in enumerate(trajectory.steps)]
    written: dict[str, object] = {
        "version": 1,
        "id": str(number),
        "group": str(trajectory.group),
        "success": trajectory.success,
        "steps": steps,
    }
    if branch := trajectory.branch:
        written |= {
            "parent": str(branch.parent),
            "branch_step": branch.step,
            "branch_token": branch.token,
        }
    return json.dumps(written)


def step_of(step: Step, place: int, batch: Batch) -> dict[str, object]:
    mine = slice(batch.first_token_S[place], batch.last_token_S[place] + 1)
    written: dict[str, object] = {
        "reward": step.reward,
        "response_ids": step.response_ids,
        "prompt_ids": step.prompt_ids,
        "valid": step.valid,
        "state": step.state_key,
        "observation": step.observation,
        "choices": batch.choice_T[mine].tolist(),
    }
    columns = {
        "logprobs": batch.logprob_T,
        "entropies": batch.entropy_T,
        "values": batch.value_T,
        "current_logprobs": batch.current_logprob_T,
        "reference_logprobs": batch.reference_logprob_T,
    }
    for key, column in columns.items():
        if column is not None:
            written[key] = column[mine].tolist()
    if batch.true_advantage_S is not None:
        written["true_advantage"] = batch.true_advantage_S[place]
    return written


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
    file = tmp_path / "played.jsonl"
    file.write_text("\n".join(line(n, t, batch) for n, t in enumerate(trajectories)))
    assert main([str(file), "--algorithms", name]) == 0
    advantages = [json.loads(printed)["advantages"] for printed in capsys.readouterr().out.splitlines()]
    flat = [value for trajectory in advantages for step in trajectory for value in step]
    np.testing.assert_allclose(flat, cell.algorithm.credit(batch).advantage_T, atol=1e-9)
    assert batch.success_N.any()
    assert np.ptp(flat) > 0, "somebody must have won, or there is nothing to compare"
