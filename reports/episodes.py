"""Recorded episodes with every algorithm's credit, as the plain data that the viewer's page holds."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.credit import by_step, credit_of
from harness.errors import UserError
from harness.records import StopReason
from harness.records.batch import Batch, Floats
from harness.records.files import (
    COLUMN_KEYS,
    GIVEN_COLUMNS,
    RecordedStep,
    RecordedTrajectory,
    batch_of,
    has,
)
from reports.parts import what_happened
from reports.recorded import Entrant

Plain = dict[str, Any]
TRUTH = "exact"
"""The column of what each action really changed, if a file knows it."""
SHOWN_NUMBERS = ("logprobs", "entropies", "values")
SATURATED = 0.95
"""The quantile of all columns' sizes at which the colours end."""
SEED = 0
"""Keys random credit, as `harness.credit` does by default."""


def checkpoint(records: Sequence[RecordedTrajectory], entrants: Sequence[Entrant]) -> Plain:
    """A file's episodes, each step with one credit per column; and what is not a column, and why."""
    batch = batch_of(records, SEED)
    columns: list[Plain] = []
    missing: list[Plain] = []
    credits: list[list[Any]] = []
    sizes: list[Floats] = []
    if batch.true_advantage_S is not None:
        truth_T = batch.true_advantage_S[batch.step_T]
        columns.append({**column(TRUTH, "the truth, per step", truth_T), "step_only": True})
        credits.append(compact(batch, truth_T))
        sizes.append(np.abs(truth_T))
    for entrant in entrants:
        try:
            require(records, entrant)
            made, credit, size = credited(batch, entrant)
        except UserError as error:
            missing.append({"name": entrant.name, "reason": str(error)})
        except Exception as error:  # an algorithm is anybody's code, and must not cost the others the page
            missing.append({"name": entrant.name, "reason": f"failed: {what_happened(error)}"})
        else:
            columns.append(made)
            credits.append(credit)
            sizes.append(size)
    starts = batch.first_step_N.tolist()
    names = task_names(records)
    episodes = [
        episode(record, names[record.group], [each[start : start + len(record.steps)] for each in credits])
        for record, start in zip(records, starts, strict=True)
    ]
    scale = rounded(float(np.quantile(sizes, SATURATED))) if sizes else 0
    return {"columns": columns, "missing": missing, "scale": scale, "episodes": episodes}


def credited(batch: Batch, entrant: Entrant) -> tuple[Plain, list[Any], Floats]:
    """An algorithm's column, its credit step by step, and the sizes of its numbers, one per token."""
    credit = credit_of(entrant.algorithm, batch)
    made = column(entrant.name, f"per {entrant.algorithm.credit_unit.value}", credit.advantage_T)
    if credit.trained_N is not None:
        made["untrained"] = np.flatnonzero(~credit.trained_N).tolist()
    return made, compact(batch, credit.advantage_T), np.abs(credit.advantage_T)


def require(records: Sequence[RecordedTrajectory], entrant: Entrant) -> None:
    """Raise `UserError` with the fields that the algorithm asks for and some step lacks."""
    steps = [step for record in records for step in record.steps]
    asked = sorted(COLUMN_KEYS[name] for name in entrant.algorithm.columns - GIVEN_COLUMNS)
    lacking = [key for key in asked if not has(steps, key)]
    if lacking:
        raise UserError(f"needs {' and '.join(lacking)}, which are not recorded here")


def column(name: str, unit: str, advantage_T: Floats) -> Plain:
    """A column's name, what its credit is given to, and the root mean square of its numbers."""
    return {
        "name": name,
        "unit": unit,
        "rms": rounded(float(np.sqrt(np.mean(advantage_T**2)))),
    }


def compact(batch: Batch, advantage_T: Floats) -> list[Any]:
    """Each step's advantages; one number if all of its tokens have the same."""
    steps = by_step(batch, [rounded(value) for value in advantage_T.tolist()])
    return [values[0] if len(set(values)) == 1 else values for values in steps]


def episode(record: RecordedTrajectory, task: str, credits: Sequence[Sequence[Any]]) -> Plain:
    """One episode; `credits` has a list of its steps' advantages for each column."""
    return {
        "id": record.id,
        "task": task,
        "goal": record.goal,
        "success": record.success,
        "outcome": outcome(record),
        "steps": [
            {**turn(step), "credit": [each[number] for each in credits]}
            for number, step in enumerate(record.steps)
        ],
    }


def outcome(record: RecordedTrajectory) -> str:
    """How the episode ended, in words: solved or not, a score between the two, and why it stopped."""
    solved = "solved" if record.success else "not solved"
    graded = "" if record.score == float(record.success) else f", score {record.score:.2f}"
    said = record.stop is None or record.stop in (StopReason.solved, StopReason.failed)
    stop = "" if said or record.stop is None else f", {record.stop.value.replace('_', ' ')}"
    return f"{solved}{graded}{stop}"


def turn(step: RecordedStep) -> Plain:
    """What was seen and done in a step."""
    tokens = step.given.get("tokens") or [f"#{token}" for token in step.ids_L.tolist()]
    numbers = {
        key: [rounded(value) for value in step.given[key]] for key in SHOWN_NUMBERS if key in step.given
    }
    return {
        "observation": step.given.get("observation", ""),
        "action": step.given.get("action", " ".join(tokens)),
        "tokens": tokens,
        "reward": rounded(step.reward),
        "valid": step.valid,
        **({} if step.well_formed else {"ill": True}),
        **numbers,
    }


def task_names(records: Sequence[RecordedTrajectory]) -> dict[str, str]:
    """What to call each group: its task, with the group's own name if the task was drawn again."""
    tasks = {record.group: record.task for record in records}
    draws = Counter(tasks.values())
    return {group: task if draws[task] == 1 else f"{task}, {group}" for group, task in tasks.items()}


def rounded(value: float) -> float:
    """Six significant digits, and no digits if there are none."""
    if not math.isfinite(value):
        raise UserError(f"{value} can't be shown")
    short = float(f"{value:.6g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short
