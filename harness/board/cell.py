"""One cell as its files say. See `harness.store.run_dir` for what they hold."""

import os
import re
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache
from pathlib import Path

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


def unstarted(id: str) -> Cell:
    """A cell of which nothing but the name is known."""
    named = CELL.fullmatch(id)
    assert named, id
    return Cell(id, named["env"], named["model"], int(named["seed"]))


def read_cell(folder: str, id: str, now: float) -> Cell:
    """A cell that has a folder, whatever state it is in. `now`: seconds since 1970."""
    cell = unstarted(id)
    try:
        config = read_bytes(folder, "config.json")
        if config is None:
            return cell
        options, budget = settings(SEED.sub(b"}", config))
        cell = replace(cell, options=options, budget=budget)
        result = read_object(folder, "result.json")
        if result is not None:
            return replace(cell, state=State.done, spent=1.0, success=last_score(result))
        return read_unfinished(cell, folder, now)
    except Damaged as damage:
        return replace(cell, state=State.damaged, reason=one_line(damage))
    except OSError as error:
        return replace(cell, state=State.damaged, reason=f"can't be read ({error.strerror})")


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


def read_unfinished(cell: Cell, folder: str, now: float) -> Cell:
    """A cell that has a configuration and no result."""
    leased, written, failed = False, 0.0, False
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):  # touched as long as the process lives
                leased = True
            else:
                written = max(written, entry.stat().st_mtime)
                failed |= entry.name == "failure.json"
    assert cell.budget is not None
    spent, success = progress(folder, cell.budget)
    cell = replace(cell, spent=spent, success=success, written=written)
    failure = read_object(folder, "failure.json") if failed else None
    # The next attempt removes the failure first, so it holds until then.
    if failure is not None:
        return replace(cell, state=State.failed, reason=one_line(failure.get("reason", "no reason given")))
    if leased and held(Path(folder), now):
        return replace(cell, state=State.running)
    return replace(cell, state=State.interrupted if spent or success is not None else State.waiting)


def progress(folder: str, budget: Budget) -> tuple[float, float | None]:
    """Share of the budget at the last line of the metrics, and success at the last evaluation."""
    for size in TAILS:
        lines, whole = read_lines(folder, "metrics.jsonl", size)
        newest_first = (parse(line, "metrics.jsonl") for line in reversed(lines))
        evaluation = next((line for line in newest_first if line.get("kind") == "evaluation"), None)
        if evaluation or whole:
            break
    if not lines:
        return 0.0, None
    try:
        spent = number(parse(lines[-1], "metrics.jsonl")[budget.axis]) / budget.limit
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
