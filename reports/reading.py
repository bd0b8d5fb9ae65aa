"""One cell's files as rows of the store's frames. What can't be used is named; the rest is used.

A score needs `config.json`, `metrics.jsonl` and `result.json`: a cell in which one of them can't be used is
damaged. Times and attempts are beside it: without them the cell keeps its score.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness.cells import CELL, Record, options_of
from harness.config import BudgetAxis
from harness.distrust import Damaged, number, one_line, parse, read_lines, read_object
from harness.store import checksums
from reports.stats import ALGORITHM, INFRASTRUCTURE

CURVE_COLUMNS = [
    "cell", "fraction", "success", "greedy_success", "flops", "tokens", "env_steps", "trajectories",
    "seconds", "spent",
]  # fmt: skip
EVALUATED = ("fraction", "success", "greedy_success", "flops", "tokens", "env_steps")
"""Numbers that every evaluation has."""
COUNTED = ("env_steps", "env_steps_replayed", "env_steps_evaluation", "trajectories")
"""Numbers that every ledger has."""
CONFIGURED = (
    ("budget", "limit"), ("evaluation", "points"), ("evaluation", "episodes"), ("evaluation", "window"),
    ("env", "eval_tasks"),
)  # fmt: skip
"""Numbers above 0 that a report reads from a configuration."""
EVALUATION = b'"evaluation"'
"""In every line of metrics that is an evaluation's. Most others are not worth parsing."""
UNEXPECTED = (KeyError, IndexError, TypeError, ValueError, AttributeError)
"""What JSON of another shape than ours leads to."""
DIVERGED = re.compile(r"FloatingPointError.*diverged")
"""The reason of a run that diverged."""
Value = TypeVar("Value")
Lines = list[Record]


@dataclass
class Cell:
    """One cell as read: a row of `runs`, and what belongs to it."""

    row: Record
    config: Record | None = None
    curve: list[tuple[Any, ...]] = field(default_factory=list)
    """Rows of `CURVE_COLUMNS`."""
    phases: list[Record] = field(default_factory=list)
    versions: Record | None = None
    notes: list[str] = field(default_factory=list)
    """Files that can't be used, one line each."""


def read_cell(runs: Path, id: str) -> Cell:
    """One cell, whatever state it is in."""
    named = CELL.fullmatch(id)
    assert named, id
    identity: Record = {"cell": id, **named.groupdict(), "seed": int(named["seed"])}
    cell = Cell({**identity, "state": "waiting", "reason": "not started"})
    folder = f"{runs}/{id}"
    try:
        config = read_object(folder, "config.json")
        if config is None:
            return cell
        using("config.json", check_config, config)
        cell.config = config
        read_started(cell, folder, config)
        return cell
    except Damaged as damage:
        reason = f"{id}/{one_line(damage)}"
    except OSError as error:
        reason = f"{id}/{Path(error.filename).name} can't be read ({error.strerror})"
    row = {**identity, "state": "damaged", "reason": reason}
    return Cell(row, cell.config, notes=[*cell.notes, reason])


def using(name: str, read: Callable[..., Value], *content: Any) -> Value:
    """What `read` makes of a file's content; raises `Damaged` with the file's name where it can't."""
    try:
        return read(*content)
    except UNEXPECTED as error:
        raise Damaged(f"{name}: unexpected content ({type(error).__name__}: {error})") from error


def check_config(config: Record) -> None:
    """Raise one of `UNEXPECTED` for a configuration that a report can't use."""
    options_of(config)
    BudgetAxis(config["budget"]["axis"])
    for section, option in CONFIGURED:
        if number(config[section][option]) <= 0:
            raise ValueError(f"{section}.{option} is {config[section][option]}")
    str(config["model"].get("name"))


def read_started(cell: Cell, folder: str, config: Record) -> None:
    """Fill in a cell that has a configuration; raise `Damaged` or `OSError` where it has no usable score."""
    row, elapsed, measured = cell.row, {0: 0.0}, dict[str, Record]()
    try:
        elapsed, times, measured = using("timing.jsonl", times_of, read_records(folder, "timing.jsonl"))
        row |= times
    except Damaged as damage:
        cell.notes.append(f"{row['cell']}/{one_line(damage)}; its times are left out")
    try:
        row |= using("attempts.jsonl", attempts, read_records(folder, "attempts.jsonl"))
    except Damaged as damage:
        cell.notes.append(f"{row['cell']}/{one_line(damage)}; its attempts are left out")
    result = read_object(folder, "result.json")
    vouched = result is not None and check_sums(Path(folder), result)
    lines = read_records(folder, "metrics.jsonl", containing=EVALUATION if vouched else b"")
    curve = curve_of(lines, config, elapsed)
    if curve["success"]:
        row["start_success"] = curve["success"][0]
    if result is None:
        row |= progress(folder, curve)
        row["iterations"] = using("metrics.jsonl", iterations, lines)
    else:
        if not curve["success"]:
            raise Damaged("metrics.jsonl: no evaluation, although the run has a result")
        window = int(config["evaluation"]["window"])
        row |= using("result.json", finished, result, curve["greedy_success"][-window:])
        cell.phases = using("result.json", phases, row["cell"], result, measured)
        row["peak_memory"] = max((each["peak_memory"] for each in measured.values()), default=None)
        row |= {"state": "done", "reason": "; ".join(cell.notes)}
        cell.versions = result.get("versions") if isinstance(result.get("versions"), dict) else None
    columns = {**curve, "cell": [row["cell"]] * len(curve["success"])}
    cell.curve = list(zip(*(columns[name] for name in CURVE_COLUMNS), strict=True))


def check_sums(folder: Path, result: Record) -> bool:
    """Whether a checksum vouches for a finished cell's numbers; raise `Damaged` where it is another's."""
    if "checksum" not in result:
        return False  # a store of an older version
    try:
        checksums.compare(
            folder / "metrics.jsonl", checksums.read_sealed(folder / "result.json")["metrics_sha256"]
        )
    except checksums.Damaged as damage:
        raise Damaged(f"{damage}: remove this directory and run the sweep again") from damage
    return True


def read_records(folder: str, name: str, containing: bytes = b"") -> Lines:
    """JSON objects, one a line, of the lines that contain some bytes.

    A torn last line is a write in flight and ignored; no file is no line.
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
        raise ValueError(f"{one_line(values)[:40]} are no numbers")
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
    kinds = ("rollout", "update", "evaluation")
    spent = {f"{kind}_seconds": float(sum(line.get(kind, 0.0) for line in lines)) for kind in kinds}
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


def finished(result: Record, greedy: list[float]) -> Record:
    """The columns of `runs` that a finished cell adds; `greedy`: its greedy success in the final window."""
    ledger = result["ledger"]
    # Stores of older versions have neither these nor the start's hash.
    reused = ledger.get("prefix_reused", {})
    return {
        "final_success": number(result["final_success"]),
        "greedy_success": sum(greedy) / len(greedy),
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
    """One row a phase of a finished cell's ledger."""
    return [
        {
            "cell": id,
            "phase": name,
            **{column: optional(entry.get(column)) for column in ("tokens", "flops", "computed")},
            **measured.get(name, {}),
        }
        for name, entry in result["ledger"]["phases"].items()
    ]


def progress(folder: str, curve: dict[str, list[Any]]) -> Record:
    """State and reason of a cell without a result, and whose failure it was."""
    failure = read_object(folder, "failure.json")
    if failure is not None:
        reason = one_line(using("failure.json", failure.__getitem__, "reason"))
        return {"state": "failed", "reason": reason, "failure": failure_of(failure, reason)}
    if not curve["spent"]:
        return {"state": "unfinished", "reason": "started, not evaluated yet"}
    return {"state": "unfinished", "reason": f"{min(curve['spent'][-1], 1.0):.0%} of the budget spent"}


def failure_of(failure: Record, reason: str) -> str:
    """Whether the algorithm broke the run, or something that says nothing about it (`stats.runs`).

    As the run wrote it (`kind`). Without it, a divergence is the algorithm's, as the learner words it
    (harness/update/learner.py), and everything else is not: a lost connection must not score 0.
    """
    kind = failure.get("kind")
    if kind in (ALGORITHM, INFRASTRUCTURE):
        return str(kind)
    return ALGORITHM if DIVERGED.search(reason) else INFRASTRUCTURE
