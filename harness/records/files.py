"""Recorded trajectories as JSON Lines: the format of `docs/trajectory-format.md`, checked and made a `Batch`.

Everything wrong is one `UserError`, `FILE:LINE: what is wrong`. Steps, and numbers in a list, count from 0.
Shape suffixes: L tokens of one step, T tokens, S steps, N trajectories.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import UserError, suggest
from harness.records.batch import COLUMNS, NO_PARENT, OPTIONAL_COLUMNS, Batch, Bools, Floats, Ints
from harness.records.columns import Moment, per_token
from harness.records.trajectory import StopReason
from harness.records.values import (
    NotJSON,
    a_list,
    an_object,
    boolean,
    check_keys,
    decode,
    list_of,
    number,
    numbers,
    quoted,
    right_length,
    shown,
    text,
    token_ids,
    whole,
)
from harness.rng import uniforms

VERSION = 2
"""The version of the format that this program writes."""
READ_VERSIONS = (1, 2)
REQUIRED_KEYS = ("version", "id", "group", "success", "steps")
TEXT_KEYS = ("task", "goal")
OUTCOME_KEYS = ("score", "stop", "metrics")
"""Keys of a trajectory since version 2."""
STEP_KEYS_OF_2 = ("well_formed",)
"""Keys of a step since version 2."""
BRANCH_KEYS = ("parent", "branch_step", "branch_token")
REQUIRED_STEP_KEYS = ("reward", "response_ids")
COLUMN_KEYS = {
    name: column.key
    for name, column in sorted(COLUMNS.items(), key=lambda item: per_token(item[0]))
    if column.key is not None
}
"""The key of a step that fills each column of the batch that an algorithm may ask for; steps' come first."""
OPTIONAL_STEP_KEYS = ("valid", "choices", "action", "tokens", "prompt_ids", *COLUMN_KEYS.values())
GIVEN_COLUMNS = frozenset(
    name for name, column in COLUMNS.items() if column.key is None and column.moment is not Moment.previous
)
"""Columns that an algorithm may ask for and that need nothing from the file."""
OPTIONAL_NUMBERS = [name for name in OPTIONAL_COLUMNS if name in COLUMN_KEYS and not COLUMNS[name].text]
"""Columns of numbers that are None if a step lacks them."""


@dataclass(frozen=True)
class RecordedStep:
    """One decision of L tokens, as the file has it."""

    reward: float
    """What the step paid."""
    ids_L: Ints
    """The sampled token ids."""
    valid: bool
    """Whether the environment accepted the action."""
    choice_L: Bools
    """False for an end token."""
    well_formed: bool
    """Whether the response had the form that was asked for."""
    given: dict[str, Any]
    """What else the file says, by its key: texts, lists of L texts, numbers, arrays (L,) of float64."""


@dataclass(frozen=True)
class RecordedBranch:
    """Where a continuation left its parent: before token `token` of step `step`."""

    parent: str
    """The parent's id."""
    step: int
    """Step within the parent, from 0."""
    token: int
    """Token within that step, from 0."""


@dataclass(frozen=True)
class RecordedTrajectory:
    """One line of a file."""

    place: str
    """`FILE:LINE`, for messages."""
    id: str
    """Its name, unique in the file."""
    group: str
    """The draw of a task that it belongs to."""
    task: str
    """The task's name; the group's if the file has none."""
    goal: str
    """What the policy was asked to do; empty if the file does not say."""
    success: bool
    """Whether the task was solved."""
    score: float
    """How well it was done, 0 to 1; if the file does not say, 1 for success and 0 for all else."""
    stop: StopReason | None
    """Why the episode ended; None if the file does not say."""
    metrics: dict[str, float]
    """The environment's own numbers."""
    steps: tuple[RecordedStep, ...]
    """The decisions in order, at least one."""
    branch: RecordedBranch | None
    """None for a root."""


def read_trajectories(lines: Iterable[bytes], file: str) -> list[RecordedTrajectory]:
    """The trajectories of a file's lines, checked each and against each other; blank lines are skipped.

    `file` is its name in messages. Raises `UserError` for the first line that is wrong, and for no lines.
    """
    numbered = ((place, line) for place, line in enumerate(lines, start=1) if not line.isspace())
    records = []
    for line_number, line in numbered:
        place = f"{file}:{line_number}"
        try:
            records.append(trajectory_of(decode(line), place))
        except NotJSON as error:
            torn = "; it is the last line and may be cut off" if next(numbered, None) is None else ""
            raise UserError(f"{place}: {error}{torn}") from error
        except UserError as error:
            raise UserError(f"{place}: {error}") from error
    if not records:
        raise UserError(f"{file} is empty: it must have one trajectory per line")
    check_ids(records)
    check_branches(records)
    return records


def require(records: Iterable[RecordedTrajectory], columns: Collection[str], algorithm: str) -> None:
    """Raise `UserError` for the first step without what fills the batch's `columns`."""
    keys = sorted(COLUMN_KEYS[column] for column in columns if column not in GIVEN_COLUMNS)
    for record in records:
        for i, step in enumerate(record.steps):
            for key in keys:
                if key not in step.given:
                    raise UserError(
                        f'{record.place}: algorithm {algorithm} needs "{key}" in every step; '
                        f"step {i} of trajectory {quoted(record.id)} has none"
                    )


def batch_of(records: Sequence[RecordedTrajectory], seed: int) -> Batch:
    """The flat form of checked records, in their order; `seed` keys the steps' own random numbers.

    What some step lacks is None, or for log-probabilities and entropies NaN. A step without a state is in one
    of its own.
    """
    steps = [step for record in records for step in record.steps]
    groups = {group: i for i, group in enumerate(dict.fromkeys(record.group for record in records))}
    rows = {record.id: row for row, record in enumerate(records)}
    branches = [record.branch for record in records]
    optional: dict[str, Any] = {
        name: of_tokens(steps, COLUMN_KEYS[name]) if per_token(name) else of_steps(steps, COLUMN_KEYS[name])
        for name in OPTIONAL_NUMBERS
    }
    return Batch(
        steps_N=np.array([len(record.steps) for record in records], dtype=np.int64),
        group_N=np.array([groups[record.group] for record in records], dtype=np.int64),
        success_N=np.array([record.success for record in records], dtype=bool),
        parent_N=np.array([rows[b.parent] if b else NO_PARENT for b in branches], dtype=np.int64),
        branch_step_N=np.array([b.step if b else 0 for b in branches], dtype=np.int64),
        branch_token_N=np.array([b.token if b else 0 for b in branches], dtype=np.int64),
        tokens_S=np.array([len(step.ids_L) for step in steps], dtype=np.int64),
        reward_S=np.array([step.reward for step in steps], dtype=np.float64),
        state_S=state_codes(records),
        valid_S=np.array([step.valid for step in steps], dtype=bool),
        uniform_S=uniforms(seed, "credit", counters(records, groups)),
        logprob_T=known_or_nan(steps, "logprobs"),
        entropy_T=known_or_nan(steps, "entropies"),
        choice_T=np.concatenate([step.choice_L for step in steps]),
        observation_S=tuple(s.given["observation"] for s in steps) if has(steps, "observation") else None,
        **optional,
    )


def has(steps: Iterable[RecordedStep], key: str) -> bool:
    """Whether every step has `key`."""
    return all(key in step.given for step in steps)


def of_tokens(steps: Sequence[RecordedStep], key: str) -> Floats | None:
    """The numbers (T,) under `key`, or None if a step lacks them."""
    return np.concatenate([step.given[key] for step in steps]) if has(steps, key) else None


def known_or_nan(steps: Sequence[RecordedStep], key: str) -> Floats:
    """The numbers (T,) under `key`, NaN in steps that lack them."""
    return np.concatenate(
        [step.given[key] if key in step.given else np.full(len(step.ids_L), np.nan) for step in steps]
    )


def of_steps(steps: Sequence[RecordedStep], key: str) -> Floats | None:
    """The numbers (S,) under `key`, or None if a step lacks one."""
    return np.array([step.given[key] for step in steps], dtype=np.float64) if has(steps, key) else None


def state_codes(records: Iterable[RecordedTrajectory]) -> Ints:
    """Codes (S,): equal for equal states of one group, one of its own for a step without a state."""
    codes: dict[object, int] = {}
    keys = [
        (record.group, step.given["state"]) if "state" in step.given else (record.id, number)
        for record in records
        for number, step in enumerate(record.steps)
    ]
    return np.array([codes.setdefault(key, len(codes)) for key in keys], dtype=np.int64)


def counters(records: Iterable[RecordedTrajectory], groups: dict[str, int]) -> NDArray[np.uint64]:
    """Counters (S, 4) of the steps' random numbers: group, place of the trajectory in its group, step, 0."""
    seen: Counter[str] = Counter()
    rows = []
    for record in records:
        rows += [(groups[record.group], seen[record.group], i, 0) for i in range(len(record.steps))]
        seen[record.group] += 1
    return np.array(rows, dtype=np.uint64)


def trajectory_of(value: object, place: str) -> RecordedTrajectory:
    """A line's trajectory from its JSON value."""
    line = an_object(value, "the line")
    version = version_of(line)
    outcome = OUTCOME_KEYS if version >= 2 else ()
    check_keys(line, "the trajectory", REQUIRED_KEYS, (*TEXT_KEYS, *BRANCH_KEYS, *outcome))
    steps = a_list(line["steps"], '"steps"')
    if not steps:
        raise UserError('"steps" is empty: a trajectory has at least one step')
    success = boolean(line["success"], '"success"')
    return RecordedTrajectory(
        place=place,
        id=text(line["id"], '"id"'),
        group=text(line["group"], '"group"'),
        task=text(line.get("task", line["group"]), '"task"'),
        goal=text(line.get("goal", ""), '"goal"'),
        success=success,
        score=share(line["score"], '"score"') if "score" in line else float(success),
        stop=stop_of(line),
        metrics=named_numbers(line.get("metrics", {}), '"metrics"'),
        steps=tuple(step_of(step, f"step {number}", version) for number, step in enumerate(steps)),
        branch=branch_of(line),
    )


def version_of(line: dict[str, Any]) -> int:
    """The line's version; raise `UserError` unless this program reads it."""
    reads = f"this program reads versions {' and '.join(map(str, READ_VERSIONS))}"
    if "version" not in line:
        raise UserError(f'"version" is missing: {reads}')
    version = line["version"]
    if type(version) is not int or version not in READ_VERSIONS:
        raise UserError(f'"version" is {shown(version)}: {reads}')
    return version


def stop_of(line: dict[str, Any]) -> StopReason | None:
    """Why the episode ended, if the line says so."""
    if "stop" not in line:
        return None
    name = text(line["stop"], '"stop"')
    reasons = [reason.value for reason in StopReason]
    if name not in reasons:
        raise UserError(f'"stop" is {quoted(name)}{suggest(name, reasons)}')
    return StopReason(name)


def share(value: object, what: str) -> float:
    """A number from 0 to 1."""
    found = number(value, what)
    if not 0 <= found <= 1:
        raise UserError(f"{what} is {found:g}: it must be 0 to 1")
    return found


def named_numbers(value: object, what: str) -> dict[str, float]:
    """An object of numbers."""
    return {name: number(each, f"{what}: {quoted(name)}") for name, each in an_object(value, what).items()}


def branch_of(line: dict[str, Any]) -> RecordedBranch | None:
    """Where the trajectory left its parent; None without any of the three keys, which go together."""
    given = [key for key in BRANCH_KEYS if key in line]
    if not given:
        return None
    for key in BRANCH_KEYS:
        if key not in line:
            raise UserError(f'"{given[0]}" needs "{key}" as well')
    parent = text(line["parent"], '"parent"')
    step, token = (whole(line[key], f'"{key}"') for key in BRANCH_KEYS[1:])
    return RecordedBranch(parent, step, token)


def step_of(value: object, where: str, version: int = VERSION) -> RecordedStep:
    """A step from its JSON value; `where` names it in messages."""
    step = an_object(value, where)
    newer = STEP_KEYS_OF_2 if version >= 2 else ()
    check_keys(step, where, REQUIRED_STEP_KEYS, (*OPTIONAL_STEP_KEYS, *newer))
    ids_L = token_ids(step["response_ids"], f'{where}: "response_ids"')
    if not len(ids_L):
        raise UserError(f'{where}: "response_ids" is empty: a step has at least one token')
    if "prompt_ids" in step:
        token_ids(step["prompt_ids"], f'{where}: "prompt_ids"')
    given: dict[str, Any] = {}
    for name, key in COLUMN_KEYS.items():
        if key in step:
            given[key] = of_column(name, step[key], f'{where}: "{key}"', len(ids_L))
    if "action" in step:
        given["action"] = text(step["action"], f'{where}: "action"')
    if "tokens" in step:
        what = f'{where}: "tokens"'
        given["tokens"] = right_length(list_of(step["tokens"], what, (str,), "strings"), what, len(ids_L))
    return RecordedStep(
        reward=number(step["reward"], f'{where}: "reward"'),
        ids_L=ids_L,
        valid=boolean(step.get("valid", True), f'{where}: "valid"'),
        choice_L=choices(step, where, len(ids_L)),
        well_formed=boolean(step.get("well_formed", True), f'{where}: "well_formed"'),
        given=given,
    )


def of_column(name: str, value: object, what: str, count: int) -> str | float | Floats:
    """What a step of `count` tokens has for a column: a text, a number, or one for each token."""
    if COLUMNS[name].text:
        return text(value, what)
    return numbers(value, what, count) if per_token(name) else number(value, what)


def choices(step: dict[str, Any], where: str, count: int) -> Bools:
    """The step's `choices` (L,), all true by default."""
    if "choices" not in step:
        return np.ones(count, dtype=bool)
    what = f'{where}: "choices"'
    return np.array(right_length(list_of(step["choices"], what, (bool,), "true or false"), what, count))


def check_ids(records: Iterable[RecordedTrajectory]) -> None:
    """Raise `UserError` for the first id that stands twice."""
    first: dict[str, str] = {}
    for record in records:
        if record.id in first:
            raise UserError(f"{record.place}: the id {quoted(record.id)} is taken, by {first[record.id]}")
        first[record.id] = record.place


def check_branches(records: Iterable[RecordedTrajectory]) -> None:
    """Raise `UserError` for the first continuation that does not continue a trajectory of the file."""
    by_id = {record.id: record for record in records}
    for record in by_id.values():
        if record.branch and record.branch.parent not in by_id:
            name = quoted(record.branch.parent)
            raise UserError(f'{record.place}: the "parent" {name} is not a trajectory of the file')
    check_descent(by_id)
    for record in by_id.values():
        if record.branch:
            check_branch(record, record.branch, by_id[record.branch.parent])


def check_descent(by_id: dict[str, RecordedTrajectory]) -> None:
    """Raise `UserError` for a trajectory that is its own ancestor."""
    rooted: set[str] = set()
    for record in by_id.values():
        passed: set[str] = set()
        while record.branch and record.id not in rooted:
            if record.id in passed:
                raise UserError(f"{record.place}: the trajectory {quoted(record.id)} is its own ancestor")
            passed.add(record.id)
            record = by_id[record.branch.parent]
        rooted |= passed


def check_branch(record: RecordedTrajectory, branch: RecordedBranch, parent: RecordedTrajectory) -> None:
    """Raise `UserError` unless `record` repeats its parent up to a token that the parent has."""
    name = quoted(parent.id)
    if record.group != parent.group:
        raise UserError(f'{record.place}: the "parent" {name} is of another group, {quoted(parent.group)}')
    last_step = len(parent.steps) - 1
    if branch.step > last_step:
        raise UserError(
            f'{record.place}: "branch_step" is {branch.step}, but the last step of {name} is {last_step}'
        )
    last_token = len(parent.steps[branch.step].ids_L) - 1
    if branch.token > last_token:
        raise UserError(
            f'{record.place}: "branch_token" is {branch.token}, but the last token of step {branch.step} '
            f"of {name} is {last_token}"
        )
    if not repeats(record, branch, parent):
        raise UserError(
            f"{record.place}: a continuation repeats its parent's tokens up to the branch point, but not "
            f"all those of {name} before token {branch.token} of step {branch.step} are here"
        )


def repeats(record: RecordedTrajectory, branch: RecordedBranch, parent: RecordedTrajectory) -> bool:
    """Whether `record` has its parent's tokens before the branch point, and at least one after them."""
    if len(record.steps) <= branch.step or len(record.steps[branch.step].ids_L) <= branch.token:
        return False
    own, other = record.steps[branch.step].ids_L, parent.steps[branch.step].ids_L
    return np.array_equal(own[: branch.token], other[: branch.token]) and all(
        np.array_equal(record.steps[i].ids_L, parent.steps[i].ids_L) for i in range(branch.step)
    )
