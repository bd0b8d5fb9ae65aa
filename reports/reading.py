"""One cell's files as rows of the store's frames. What can't be used is named; the rest is used.

A score needs `config.json`, `metrics.jsonl` and `result.json`: a cell in which one of them can't be used is
damaged. Times and attempts are separate: without them the cell keeps its score.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.cells import WORK, Record
from harness.distrust import Damaged, number, one_line, parse, read_lines, read_object
from harness.reading.cell import Cell, State, percent, read_cell
from harness.reading.whole import check_sums

CURVE_COLUMNS = [
    "cell", "fraction", "score", "greedy_score", "success", "flops", "tokens", "env_steps", "trajectories",
    "seconds", "spent",
]  # fmt: skip
EVALUATED = ("fraction", "success", "flops", "tokens", "env_steps")
"""Numbers that every evaluation has."""
COUNTED = ("env_steps", "env_steps_replayed", "env_steps_evaluation", "trajectories")
"""Numbers that every ledger has."""
EVALUATION = b'"evaluation"'
"""In every line of metrics that is an evaluation's. Most others are not worth parsing."""
UNEXPECTED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What JSON of another shape than ours leads to."""
Value = TypeVar("Value")
Lines = list[Record]


@dataclass
class Rows:
    """What a cell adds to the store's frames."""

    row: Record
    """Of `runs`."""
    config: Record | None = None
    curve: list[tuple[Any, ...]] = field(default_factory=list)
    """Rows of `CURVE_COLUMNS`."""
    phases: list[Record] = field(default_factory=list)
    outcomes: list[Record] = field(default_factory=list)
    versions: Record | None = None
    notes: list[str] = field(default_factory=list)
    """Files that can't be used, one line each."""


def read_rows(runs: Path, id: str, now: float) -> Rows:
    """One cell, whatever state it is in. `now`: seconds since 1970."""
    folder = f"{runs}/{id}"
    cell = read_cell(folder, id, now, check_sums)
    rows = Rows({"cell": id, "env": cell.env, "model": cell.model, "seed": cell.seed})
    rows.row |= {"state": cell.state.value, "reason": reason(cell)}
    if cell.kind is not None:
        rows.row["failure"] = cell.kind.value
    if cell.options is not None:
        rows.config = read_object(folder, "config.json")
    if cell.state is State.damaged:
        rows.notes.append(f"{id}/{cell.reason}")
        rows.row["reason"] = rows.notes[-1]
    elif rows.config is not None:
        read_started(rows, folder, rows.config, cell.state is State.done)
    return rows


def reason(cell: Cell) -> str:
    """Why a cell has no score."""
    if cell.state in (State.done, State.failed, State.damaged):
        return cell.reason
    if cell.state is State.waiting:
        return "not started"
    return f"{percent(cell.spent)} of the budget spent"


def using(name: str, read: Callable[..., Value], *content: Any) -> Value:
    """What `read` makes of a file's content; raises `Damaged` with the file's name if it can't."""
    try:
        return read(*content)
    except UNEXPECTED as error:
        raise Damaged(f"{name}: unexpected content ({type(error).__name__}: {error})") from error


def read_started(rows: Rows, folder: str, config: Record, done: bool) -> None:
    """Fill in a cell that has a configuration, as far as its files can be used."""
    row, elapsed, measured = rows.row, {0: 0.0}, dict[str, Record]()
    try:
        elapsed, times, measured = using("timing.jsonl", times_of, read_records(folder, "timing.jsonl"))
        row |= times
    except (Damaged, OSError) as damage:
        rows.notes.append(f"{row['cell']}/{told(damage)}; its times are left out")
    try:
        row |= using("attempts.jsonl", attempts, read_records(folder, "attempts.jsonl"))
    except (Damaged, OSError) as damage:
        rows.notes.append(f"{row['cell']}/{told(damage)}; its attempts are left out")
    try:
        read_scores(rows, folder, config, done, elapsed, measured)
    except (Damaged, OSError) as damage:
        note = f"{row['cell']}/{told(damage)}"
        if done:
            # Only a result without a checksum, of an older version, was not found out before.
            row |= {"state": State.damaged.value, "reason": note}
            rows.notes.append(note)
        else:
            rows.notes.append(f"{note}; its curve is left out, and the run's next attempt fixes it")


def read_scores(
    rows: Rows,
    folder: str,
    config: Record,
    done: bool,
    elapsed: dict[int, float],
    measured: dict[str, Record],
) -> None:
    """Fill in the curve, and a finished cell's result; raise `Damaged` or OSError for what can't be used."""
    row = rows.row
    result = read_object(folder, "result.json") if done else None
    vouched = result is not None and "checksum" in result
    lines = read_records(folder, "metrics.jsonl", containing=EVALUATION if vouched else b"")
    curve = curve_of(lines, config, elapsed)
    found: Record = {"start_score": curve["score"][0]} if curve["score"] else {}
    if result is None:
        found["iterations"] = using("metrics.jsonl", iterations, lines)
    else:
        if not curve["score"]:
            raise Damaged("metrics.jsonl: no evaluation, although the run has a result")
        window = int(config["evaluation"]["window"])
        found |= using("result.json", finished, result, curve["greedy_score"][-window:])
        rows.phases = using("result.json", phases, row["cell"], result, measured)
        last = [line for line in lines if line["kind"] == "evaluation"][-window:]
        rows.outcomes = using("result.json", outcomes, row["cell"], result, last)
        found["peak_memory"] = max((each["peak_memory"] for each in measured.values()), default=None)
        found["reason"] = "; ".join(rows.notes)
        rows.versions = result.get("versions") if isinstance(result.get("versions"), dict) else None
    row |= found
    columns = {**curve, "cell": [row["cell"]] * len(curve["score"])}
    rows.curve = list(zip(*(columns[name] for name in CURVE_COLUMNS), strict=True))


def told(damage: Damaged | OSError) -> str:
    """Which file can't be used, and why."""
    if isinstance(damage, Damaged):
        return one_line(damage)
    return f"{Path(damage.filename).name} can't be read ({damage.strerror})"


def read_records(folder: str, name: str, containing: bytes = b"") -> Lines:
    """JSON objects, one per line, of the lines that contain some bytes.

    A torn last line is a write in flight and ignored; a missing file has no lines.
    """
    lines, _ = read_lines(folder, name)
    lines = [line for line in lines if containing in line]
    try:
        records: Lines = json.loads(b"[" + b",".join(lines) + b"]")  # all at once: three times faster
        if len(records) == len(lines) and all(type(record) is dict for record in records):
            return records
    except (ValueError, RecursionError):
        pass
    return [parse(line, f"{name}, line {place}") for place, line in enumerate(lines, start=1)]


def curve_of(lines: Lines, config: Record, elapsed: dict[int, float]) -> dict[str, list[Any]]:
    """The columns of a curve but for the cell; raises `Damaged` with the first line that can't be used."""
    try:
        return columns_of(lines, config, elapsed)
    except UNEXPECTED:
        for place, line in enumerate(lines, start=1):
            using(f"metrics.jsonl, line {place}", columns_of, [line], config, elapsed)
        raise


def columns_of(lines: Lines, config: Record, elapsed: dict[int, float]) -> dict[str, list[Any]]:
    """The evaluations among `lines`: what they counted, the share of the budget spent, seconds trained."""
    kept = [line for line in lines if line["kind"] == "evaluation"]
    axis, limit = config["budget"]["axis"], float(config["budget"]["limit"])
    columns = {name: reals([line[name] for line in kept]) for name in EVALUATED}
    # Of an environment without scores, success is the score. A greedy episode that was lost leaves none.
    columns["score"] = reals([line.get("score", line["success"]) for line in kept])
    greedy = [line.get("greedy_score", line.get("greedy_success")) for line in kept]
    columns["greedy_score"] = [optional(value) for value in greedy]
    trajectories = [line.get("trajectories") for line in kept]  # stores of older versions have none
    return columns | {
        "trajectories": trajectories if None in trajectories else reals(trajectories),
        "seconds": [elapsed.get(line["iteration"]) for line in kept],
        "spent": [amount / limit for amount in reals([line[axis] for line in kept])],
    }


def iterations(lines: Lines) -> int:
    """The iterations that metrics have."""
    return max((int(line["iteration"]) for line in lines if "iteration" in line), default=0)


def reals(values: list[Any]) -> list[Any]:
    """The values themselves, if all are finite numbers; raise `ValueError` otherwise."""
    if not set(map(type, values)) <= {int, float} or not all(map(math.isfinite, values)):
        raise ValueError(f"{one_line(values)[:40]} are not numbers")
    return values


def optional(value: Any) -> Any:
    """A number; None, which stores of older versions have, stays None."""
    return None if value is None else reals([value])[0]


def times_of(lines: Lines) -> tuple[dict[int, float], Record, dict[str, Record]]:
    """Seconds trained up to the end of each iteration, all seconds by kind of work, and what phases took."""
    total, elapsed = 0.0, {0: 0.0}
    measured: dict[str, Record] = {}
    for line in lines:
        total += line.get("rollout", 0.0) + line.get("update", 0.0)
        elapsed[line["iteration"]] = total
        for phase, seconds in line.get("phases", {}).items():
            entry = measured.setdefault(phase, {"seconds": 0.0, "peak_memory": 0})
            entry["seconds"] += seconds
            entry["peak_memory"] = max(entry["peak_memory"], int(line["peak_memory"][phase]))
    spent = {f"{work}_seconds": float(sum(line.get(work, 0.0) for line in lines)) for work in WORK}
    reals([total, *spent.values(), *(each["seconds"] for each in measured.values())])
    return elapsed, spent, measured


def attempts(lines: Lines) -> Record:
    """How often the cell was started, by which code what is there was made, and what was done again."""
    redone = {
        f"{unit}_redone": float(sum(number(line["redone"][unit]) for line in lines))
        for unit in ("flops", "seconds")
    }
    anew = max((i for i, line in enumerate(lines) if line.get("iteration", 0) == 0), default=0)
    code = sorted({str(line.get("code", "unknown")) for line in lines[anew:]})
    hosts = sorted({str(line["host"]) for line in lines if line.get("host")})
    return {"attempts": len(lines) or None, "code": " ".join(code), "hosts": " ".join(hosts), **redone}


def mean_of(values: list[float | None]) -> float | None:
    """The mean of the values that there are."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def outcomes(id: str, result: Record, last: Lines) -> Lines:
    """Why a finished cell's episodes ended, and what its environment said of them in its `last` evaluations.

    One row for each `kind` (`training` and `evaluation`: episodes with that stop reason; `metric`: a mean)
    and `name`. Cells of older versions have none.
    """
    rows = [
        {"cell": id, "kind": kind, "name": str(reason), "value": number(episodes)}
        for kind, stops in result.get("stops", {}).items()
        for reason, episodes in stops.items()
    ]
    own = dict.fromkeys(
        name for line in last for name in line if name.startswith("env_") and name not in COUNTED
    )
    for name in own:
        value = mean_of([optional(line.get(name)) for line in last])
        rows.append({"cell": id, "kind": "metric", "name": name.removeprefix("env_"), "value": value})
    return rows


def finished(result: Record, greedy: list[float | None]) -> Record:
    """The columns of `runs` that a finished cell adds; `greedy`: its greedy score in the final window."""
    ledger = result["ledger"]
    # Stores of older versions have neither these nor the start's hash.
    reused = ledger.get("prefix_reused", {})
    return {
        # Stores of older versions have no environments with scores.
        "final_score": number(result.get("final_score", result["final_success"])),
        "final_success": number(result["final_success"]),
        "measure": str(result.get("measure", "success")),
        "greedy_score": mean_of(greedy),
        "iterations": optional(result.get("iterations")),
        "overshoot": number(result["overshoot"]),
        "panel_hash": str(result["panel_hash"]),
        "placement": result.get("placement") and str(result["placement"]),
        "start_hash": result.get("start_hash") and str(result["start_hash"]),
        "tool_calls": optional(ledger.get("tool_calls")),
        **{name: optional(ledger[name]) for name in COUNTED},
        **{f"{unit}_reused": optional(reused.get(unit)) for unit in ("tokens", "flops")},
    }


def phases(id: str, result: Record, measured: dict[str, Record]) -> Lines:
    """One row per phase of a finished cell's ledger."""
    return [
        {
            "cell": id,
            "phase": name,
            **{column: optional(entry.get(column)) for column in ("tokens", "flops", "computed")},
            **measured.get(name, {}),
        }
        for name, entry in result["ledger"]["phases"].items()
    ]
