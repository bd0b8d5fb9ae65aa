"""Writes trajectories in the format of `docs/trajectory-format.md`, numbers in full, so that nothing is lost.

The same trajectories always give the same bytes.
"""

import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.records.batch import Batch
from harness.records.columns import per_token
from harness.records.files import COLUMN_KEYS, VERSION
from harness.records.trajectory import Step, Trajectory

TokenTexts = Callable[[Sequence[int]], list[str]]


def packed(
    trajectories: Sequence[Trajectory], batch: Batch, texts: TokenTexts, goals: Mapping[str, str]
) -> bytes:
    """A gzip file of the trajectories; it has neither name nor time in its header."""
    lines = [
        json.dumps(trajectory_line(trajectories, row, batch, texts, goals), allow_nan=False)
        for row in range(len(trajectories))
    ]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def trajectory_line(
    trajectories: Sequence[Trajectory], row: int, batch: Batch, texts: TokenTexts, goals: Mapping[str, str]
) -> dict[str, Any]:
    """One line of the file: the trajectory number `row`, with every column that the batch has.

    `texts` gives the text of token ids, `goals` what each task asks of the policy.
    """
    trajectory, first = trajectories[row], int(batch.first_step_N[row])
    line: dict[str, Any] = {
        "version": VERSION,
        "id": name(trajectory),
        "group": str(trajectory.group),
        "task": trajectory.task_id,
        "goal": goals[trajectory.task_id],
        "success": trajectory.success,
        "score": trajectory.score,
        "stop": trajectory.stop.value,
        **({"metrics": dict(trajectory.metrics)} if trajectory.metrics else {}),
        "steps": [step_object(step, first + i, batch, texts) for i, step in enumerate(trajectory.steps)],
    }
    if branch := trajectory.branch:
        parent = name(trajectories[branch.parent])
        line |= {"parent": parent, "branch_step": branch.step, "branch_token": branch.token}
    return line


def name(trajectory: Trajectory) -> str:
    """The trajectory's id in the file."""
    return f"{trajectory.group}/{trajectory.rollout}"


def step_object(step: Step, place: int, batch: Batch, texts: TokenTexts) -> dict[str, Any]:
    """A step, number `place` of the batch."""
    tokens = slice(batch.first_token_S[place], batch.last_token_S[place] + 1)
    written: dict[str, Any] = {
        "reward": step.reward,
        "valid": step.valid,
        **({} if step.well_formed else {"well_formed": False}),
        "state": step.state_key,
        "observation": step.observation,
        "action": step.action,
        "prompt_ids": step.prompt_ids,
        "response_ids": step.response_ids,
        "tokens": texts(step.response_ids),
        "choices": batch.choice_T[tokens].tolist(),
    }
    for column, key in COLUMN_KEYS.items():
        if key not in written and (values := getattr(batch, column)) is not None:
            written[key] = values[tokens].tolist() if per_token(column) else values[place].item()
    return written
