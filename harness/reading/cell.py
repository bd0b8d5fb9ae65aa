"""A cell as its files say. See `harness.store.run_dir` for what they hold. Imports nothing heavy."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.cells import CELL, WORK, Record, options_of
from harness.distrust import Damaged, number, one_line, parse, read_bytes, read_lines, read_object
from harness.lease import PREFIX, held

SEED, SEED_BYTES = re.compile(rb',\s*"seed": \d+\s*}\s*\Z'), 64
"""How a configuration ends, and where to look for that: to search all of it takes as long as to read it."""
TAILS = (1 << 12, 1 << 17, None)
"""Bytes read from the end of `metrics.jsonl`, in turn, until an evaluation is among them; None: all."""
AXES = ("flops", "tokens", "env_steps", "trajectories", "gpu_seconds")
"""What a budget can count, as `harness.config.BudgetAxis` has it."""
CONFIGURED = (
    ("budget", "limit"), ("evaluation", "points"), ("evaluation", "episodes"), ("evaluation", "window"),
    ("env", "eval_tasks"),
)  # fmt: skip
"""Numbers above 0 that every configuration has."""
WRITTEN = ("result.json", "failure.json", "metrics.jsonl", "attempts.jsonl", "timing.jsonl")
"""What only a cell that was begun has, and so only one that had a configuration."""
DIVERGED = re.compile(r"(^|: )FloatingPointError: ")
"""In the reason of a failure, as the failing process or another rank of it puts it: the run diverged."""


class State(Enum):
    """Where a cell stands: the first of these that is true of it."""

    done = "done"
    """It has a result, and its files are intact."""
    running = "running"
    """A live process holds it."""
    damaged = "damaged"
    """A file can't be used. The sweep's command runs the cell again from what is intact."""
    failed = "failed"
    """Its last attempt says why it ended."""
    interrupted = "interrupted"
    """It has written metrics."""
    waiting = "waiting"
    """It has nothing that counts."""


class Kind(Enum):
    """What made a cell fail."""

    algorithm = "algorithm"
    """It diverged, and will again: a result about the algorithm, which counts 0."""
    infrastructure = "infrastructure"
    """Anything else, which says nothing about the algorithm: the cell is missing until it is run again."""


FAILURES = {
    Kind.algorithm: "it diverged: counts 0, and will diverge again",
    Kind.infrastructure: "not the algorithm's doing: missing until it is run again",
}
"""What each kind of failure means for the comparison."""


@dataclass(frozen=True)
class Budget:
    """When a cell stops."""

    axis: str
    limit: float


@dataclass(frozen=True)
class Cell:
    """A cell as read."""

    id: str
    env: str
    model: str
    seed: int
    state: State = State.waiting
    options: Record | None = None
    """The algorithm's by name, others as SECTION.OPTION, if the configuration can be read."""
    budget: Budget | None = None
    spent: float = 0.0
    """Share of the budget at the last line of the metrics."""
    spent_at_checkpoint: float | None = None
    """Share of the budget at the checkpoint that it goes on from; None: there is none, or nobody looked."""
    success: float | None = None
    """At the last evaluation; the score if the environment is graded."""
    reason: str = ""
    """Why it failed, or what is damaged."""
    kind: Kind | None = None
    """What made it fail."""
    written: float | None = None
    """When it last wrote anything, in seconds since 1970; None when that was not read."""
    seconds: float | None = None
    """Its rollouts, updates and evaluations so far; None when they were not read."""

    @property
    def left(self) -> float:
        """Share of the budget still to be spent."""
        return 0.0 if self.state is State.done else max(0.0, 1 - (self.spent_at_checkpoint or 0.0))

    @property
    def repeats(self) -> bool:
        """Whether it failed in a way in which it will fail again."""
        return self.kind is Kind.algorithm


def unstarted(id: str, **found: Any) -> Cell:
    """A cell of which nothing is known but its name and what was `found` in its folder."""
    named = CELL.fullmatch(id)
    assert named, id
    return Cell(id, named["env"], named["model"], int(named["seed"]), **found)


def check_presence(folder: str, result: Record) -> None:
    """Raise `Damaged` for a finished cell without metrics. What is in them is not read."""
    try:
        size = os.stat(f"{folder}/metrics.jsonl").st_size
    except FileNotFoundError:
        size = 0
    if not size:
        raise Damaged("metrics.jsonl: no evaluation, although the run has a result")


Check = Callable[[str, Record], None]
"""Raises `Damaged` for a folder and its result that don't belong together."""


def read_cell(folder: str, id: str, now: float, check: Check = check_presence) -> Cell:
    """A cell, whatever state it is in. `now`: seconds since 1970."""
    try:
        cell = read_files(folder, id, now, check)
    except OSError as error:
        name = Path(error.filename or folder).name
        cell = unstarted(id, state=State.damaged, reason=f"{name} can't be read ({error.strerror})")
    # Who holds a damaged cell is mending it.
    if cell.state is State.damaged and held(Path(folder), now):
        return replace(cell, state=State.running)
    return cell


def read_files(folder: str, id: str, now: float, check: Check) -> Cell:
    """A cell; one with a file that can't be used is damaged, even if a live process holds it.

    Raises OSError if a file is there and can't be read.
    """
    found: Record = {}
    try:
        config = read_bytes(folder, "config.json")
        if config is None:
            check_unstarted(folder)
            return unstarted(id)
        found["options"], found["budget"] = settings(without_seed(config))
        result = read_object(folder, "result.json")
        if result is None:
            found |= read_unfinished(folder, found["budget"], now)
        else:
            success = last_score(result)
            check(folder, result)
            found |= {"state": State.done, "spent": 1.0, "success": success}
    except Damaged as damage:
        found |= {"state": State.damaged, "reason": one_line(damage)}
    return unstarted(id, **found)


def check_unstarted(folder: str) -> None:
    """Raise `Damaged` if a cell without a configuration was begun."""
    try:
        names = set(os.listdir(folder))
    except FileNotFoundError:
        return
    if not names.isdisjoint(WRITTEN):
        raise Damaged("config.json: missing, although the run was begun")


def without_seed(config: bytes) -> bytes:
    """A configuration as all cells of its arm have it."""
    return config[:-SEED_BYTES] + SEED.sub(b"}", config[-SEED_BYTES:])


@lru_cache(maxsize=1024)
def settings(text: bytes) -> tuple[Record, Budget]:
    """The options and the budget in a configuration without its seed: alike for the cells of an arm."""
    config = parse(text, "config.json")
    try:
        for section, option in CONFIGURED:
            if number(config[section][option]) <= 0:
                raise ValueError(f"{section}.{option} is {config[section][option]}")
        budget = Budget(str(config["budget"]["axis"]), number(config["budget"]["limit"]))
        if budget.axis not in AXES:
            raise ValueError(f"budget.axis is {budget.axis}")
        return options_of(config), budget
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"config.json: unexpected content ({type(error).__name__}: {error})") from error


def last_score(result: Record) -> float:
    """Success at the last evaluation of a finished cell."""
    try:
        number(result["final_success"])
        return number(result["scores"][-1])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Damaged(f"result.json: unexpected content ({type(error).__name__}: {error})") from error


def read_unfinished(folder: str, budget: Budget, now: float) -> Record:
    """What is found of a cell that has a configuration and no result."""
    leased, written, failed = False, 0.0, False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):  # touched as long as the process lives
                leased = True
            else:
                written = max(written, entry.stat().st_mtime)
                failed |= entry.name == "failure.json"
    spent, success = progress(folder, budget)
    found: Record = {"spent": spent, "success": success, "written": written}
    if leased and held(Path(folder), now):
        return {**found, "state": State.running}
    failure = read_object(folder, "failure.json") if failed else None
    # The next attempt removes the failure first, so it holds until then.
    if failure is not None:
        reason = one_line(failure.get("reason", "no reason given"))
        return {**found, "state": State.failed, "reason": reason, "kind": kind_of(failure, reason)}
    begun = spent or success is not None
    return {**found, "state": State.interrupted if begun else State.waiting}


def kind_of(failure: Record, reason: str) -> Kind:
    """What made a cell fail: as it was written, else as the reason has it."""
    try:
        return Kind(failure.get("kind"))
    except ValueError:
        return Kind.algorithm if DIVERGED.search(reason) else Kind.infrastructure


def progress(folder: str, budget: Budget) -> tuple[float, float | None]:
    """Share of the budget at the last line of the metrics; success, or the score, at the last evaluation."""
    for size in TAILS:
        lines, whole = read_lines(folder, "metrics.jsonl", size)
        newest, evaluation = None, None
        for line in reversed(lines):
            content = parse(line, "metrics.jsonl")
            newest = content if newest is None else newest
            if content.get("kind") == "evaluation":
                evaluation = content
                break
        if evaluation or whole:
            break
    if newest is None:
        return 0.0, None
    spent = share(newest, budget)
    try:
        # What runs are compared by: an environment without scores has success alone.
        return spent, number(evaluation.get("score", evaluation["success"])) if evaluation else None
    except (KeyError, ValueError) as error:
        raise Damaged(f"metrics.jsonl: unexpected content ({type(error).__name__}: {error})") from error


def share(line: Record, budget: Budget) -> float:
    """Share of the budget that was spent when a line of the metrics was written."""
    try:
        return min(1.0, number(line[budget.axis]) / budget.limit)
    except (KeyError, ValueError) as error:
        raise Damaged(f"metrics.jsonl: unexpected content ({type(error).__name__}: {error})") from error


def share_spent(folder: str, budget: Budget) -> float:
    """Share of the budget at the last line of the metrics; raises `Damaged` or OSError."""
    for size in TAILS:
        lines, whole = read_lines(folder, "metrics.jsonl", size)
        if lines or whole:
            break
    return share(parse(lines[-1], "metrics.jsonl"), budget) if lines else 0.0


def seconds(folder: str) -> float:
    """Rollouts, updates and evaluations of a cell so far; its warm start, made once for all arms, is not."""
    lines, _ = read_lines(folder, "timing.jsonl")
    return sum(map(seconds_of, lines))


def seconds_of(line: bytes) -> float:
    """Seconds of a line of `timing.jsonl`."""
    content = parse(line, "timing.jsonl")
    try:
        return sum(number(content.get(work, 0.0)) for work in WORK)
    except ValueError as error:
        raise Damaged(f"timing.jsonl: unexpected content ({error})") from error


def percent(share: float) -> str:
    """A share of a budget; 100 % only when it is whole."""
    return f"{int(100 * share + 1e-9)} %"
