"""One cell as its files say. See `harness.store.run_dir` for what they hold."""

import os
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.cells import CELL, Record, options_of
from harness.distrust import Damaged, number, one_line, parse, read_bytes, read_lines, read_object
from harness.lease import PREFIX, held

SEED = re.compile(rb',\s*"seed": \d+\s*}\s*\Z')
TAILS = (1 << 12, 1 << 17, None)
"""Bytes read from the end of `metrics.jsonl`, in turn, until an evaluation is among them; None: all."""
KINDS = ("rollout", "update", "evaluation")
"""Whose seconds add up to a line of `timing.jsonl`."""


class State(Enum):
    """Where a cell stands."""

    done = "done"
    running = "running"
    failed = "failed"
    damaged = "damaged"
    interrupted = "interrupted"
    waiting = "waiting"


@dataclass(frozen=True)
class Budget:
    """When a cell stops."""

    axis: str
    limit: float


@dataclass(frozen=True)
class Cell:
    """One cell."""

    id: str
    env: str
    model: str
    seed: int
    state: State = State.waiting
    options: Record | None = None
    """The algorithm's by name, others as SECTION.OPTION, where the configuration can be read."""
    budget: Budget | None = None
    spent: float = 0.0
    """Share of the budget."""
    success: float | None = None
    """At the last evaluation."""
    reason: str = ""
    """Why it failed, or what is damaged."""
    written: float | None = None
    """When it last wrote anything, in seconds since 1970; None when that was not read."""
    seconds: float | None = None
    """Its rollouts, updates and evaluations so far; None when they were not read."""


def unstarted(id: str, **found: Any) -> Cell:
    """A cell of which nothing is known but its name and what was `found` in its folder."""
    named = CELL.fullmatch(id)
    assert named, id
    return Cell(id, named["env"], named["model"], int(named["seed"]), **found)


def read_cell(folder: str, id: str, now: float) -> Cell:
    """A cell that has a folder, whatever state it is in. `now`: seconds since 1970."""
    found: Record = {}
    try:
        config = read_bytes(folder, "config.json")
        if config is not None:
            found["options"], found["budget"] = settings(SEED.sub(b"}", config))
            result = read_object(folder, "result.json")
            if result is not None:
                found |= {"state": State.done, "spent": 1.0, "success": last_score(result)}
            else:
                found |= read_unfinished(folder, found["budget"], now)
    except Damaged as damage:
        found |= {"state": State.damaged, "reason": one_line(damage)}
    except OSError as error:
        found |= {"state": State.damaged, "reason": f"can't be read ({error.strerror})"}
    return unstarted(id, **found)


@lru_cache(maxsize=1024)
def settings(text: bytes) -> tuple[Record, Budget]:
    """The options and the budget in a configuration without its seed: alike for the cells of an arm."""
    config = parse(text, "config.json")
    try:
        budget = Budget(str(config["budget"]["axis"]), number(config["budget"]["limit"]))
        if budget.limit <= 0:
            raise ValueError(f"budget.limit is {budget.limit:g}")
        return options_of(config), budget
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"config.json: unexpected content ({error})") from error


def last_score(result: Record) -> float:
    """Success at the last evaluation of a finished cell."""
    try:
        return number(result["scores"][-1])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Damaged(f"result.json: unexpected content ({error})") from error


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
    failure = read_object(folder, "failure.json") if failed else None
    # The next attempt removes the failure first, so it holds until then.
    if failure is not None:
        reason = one_line(failure.get("reason", "no reason given"))
        return {**found, "state": State.failed, "reason": reason}
    if leased and held(Path(folder), now):
        return {**found, "state": State.running}
    return {**found, "state": State.interrupted if spent or success is not None else State.waiting}


def progress(folder: str, budget: Budget) -> tuple[float, float | None]:
    """Share of the budget at the last line of the metrics, and success at the last evaluation."""
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
    try:
        spent = number(newest[budget.axis]) / budget.limit
        return min(1.0, spent), number(evaluation["success"]) if evaluation else None
    except (KeyError, ValueError) as error:
        raise Damaged(f"metrics.jsonl: unexpected content ({error})") from error


def seconds(folder: str) -> float:
    """Rollouts, updates and evaluations of a cell so far."""
    lines, _ = read_lines(folder, "timing.jsonl")
    return sum(map(seconds_of, lines))


def seconds_of(line: bytes) -> float:
    """Seconds of a line of `timing.jsonl`."""
    content = parse(line, "timing.jsonl")
    try:
        return sum(number(content.get(kind, 0.0)) for kind in KINDS)
    except ValueError as error:
        raise Damaged(f"timing.jsonl: unexpected content ({error})") from error
