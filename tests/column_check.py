"""Run in the copy that has the page's column: is it true, booked, recorded, replayed and predicted?"""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.compose import compose_run
from harness.credit import credited, read
from harness.errors import UserError
from harness.ledger import Phase
from harness.planning.predict import predict
from harness.records.files import read_trajectories
from harness.records.writer import packed
from harness.run import Run
from harness.store import RunDir

SMALL = ["algorithm=information_gain", "batch.trajectories=64", "batch.minibatches=2",
         "model.clone_updates=40", "env.train_tasks=8", "env.eval_tasks=1", "env.horizon=4",
         "env.rooms=3", "env.key=false", "evaluation.points=1", "evaluation.window=1",
         "budget.limit=3e9"]  # fmt: skip


def brute_force(run, played) -> list[float]:
    """The column by a pass of the model for each step alone."""
    solved = {each.group: each for each in reversed(played) if each.success}
    groups = {each.group for each in played}
    assert 0 < len(solved) < len(groups), f"{len(solved)} of {len(groups)} groups solved their task"
    expected, model = [], run.learner.policy.as_transformers()
    for each in played:
        answer = solved[each.group].steps[-1].response_ids if each.group in solved else ()
        for step in each.steps:
            ids = torch.tensor([[*step.prompt_ids, *answer]])
            with torch.no_grad():
                logits_LV = model(input_ids=ids).logits[0, len(step.prompt_ids) - 1 : -1]
            logprob_LV = torch.log_softmax(logits_LV.double(), dim=-1)
            chosen = [float(logprob_LV[place, token]) for place, token in enumerate(answer)]
            expected.append(np.exp(np.mean(chosen)) if answer else 0.0)
    return expected


def main() -> None:
    cell = compose_run(SMALL)
    run_dir = RunDir.create(Path("check"), cell)
    run = Run(cell, run_dir, Path("check"))
    roots = run.sampler.play_roots(range(cell.tasks_per_iteration))
    played, _ = run.sampler.play_branches(roots, sampler_is_current=True)
    batch = run.trainer._with_columns(run.sampler.batch(played), played)
    np.testing.assert_allclose(batch.answer_probability_S, brute_force(run, played), rtol=1e-4, atol=1e-7)
    assert np.ptp(batch.answer_probability_S) > 1e-3
    assert run.ledger.entries[Phase.column_scoring].flops > 0

    goals = {task.id: task.goal for task in cell.env.training_panel()}
    lines = gzip.decompress(packed(played, batch, run.prompts.texts, goals)).splitlines()
    (replayed,) = credited(read_trajectories(lines, "played"), [cell.algorithm], seed=0)
    np.testing.assert_array_equal(replayed.credit.advantage_T, cell.algorithm.credit(batch).advantage_T)

    Run(cell, run_dir, Path("check")).finish()
    rows = [row for row in map(json.loads, run_dir.metrics.open()) if row["kind"] == "train"]
    most = max(after - before for before, after in pairwise([0, *(row["flops"] for row in rows)]))
    assert most <= 1.1 * predict(cell).flops
    recorded = read(str(run_dir.trajectories / "1.jsonl.gz"))
    assert all("answer_probability" in step.given for each in recorded for step in each.steps)

    with pytest.raises(UserError, match=r"rollout\.overlap=true clashes"):
        compose_run([*SMALL, "rollout.overlap=true"])


if __name__ == "__main__":
    main()
