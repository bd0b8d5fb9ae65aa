"""The run store as data frames. Nothing here computes a statistic.

A sweep's directory holds `sweep.json` (name, command, cells, versions) and `runs/CELL/` (see
`harness.store.run_dir`). Only the cells that `sweep.json` lists are read. A cell that can't be read is listed
with its reason; the others are not affected.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from harness.config.compose import PARTS
from harness.errors import UserError
from harness.store import checksums, read_json
from reports.stats import SESOI

Record = dict[str, Any]
CELL = re.compile(r"(?P<algorithm>[^/]+?)-(?P<env>[^/]+?)-(?P<model>[^/]+)-s(?P<seed>\d+)-[0-9a-f]+")
RUN_COLUMNS = [
    "cell", "arm", "env", "model", "seed", "state", "reason", "final_success", "greedy_success",
    "start_success", "iterations", "overshoot", "rollout_seconds", "update_seconds", "evaluation_seconds",
    "env_steps", "env_steps_replayed", "env_steps_evaluation", "trajectories", "tokens_reused",
    "flops_reused", "tool_calls", "peak_memory", "attempts", "flops_redone", "seconds_redone", "panel_hash",
    "start_hash",
]  # fmt: skip
CURVE_COLUMNS = [
    "cell", "fraction", "success", "greedy_success", "flops", "tokens", "env_steps", "trajectories",
    "seconds", "spent",
]  # fmt: skip
NO_TUNING: dict[str, Any] = {"arms": {}, "references": [], "knobs": [], "tuning": None, "tuned": None}
"""What a `sweep.json` without tuning leaves out; see `harness.config.arms.tuning_record`."""
PHASE_COLUMNS = ["cell", "phase", "tokens", "flops", "computed", "seconds", "peak_memory"]


@dataclass(frozen=True)
class Store:
    """What a sweep's directory says.

    `runs`: one row a cell; `state` is done, failed, unfinished, waiting or damaged, `reason` says why.
    `curve`: one row an evaluation; `spent` is the budget axis' amount over the limit, `seconds` those that
    rollouts and updates took before it.
    `phases`: one row a phase of a finished cell; `flops` nominal, `computed` really done, memory in bytes.
    """

    path: Path
    manifest: Record
    configs: dict[str, Record]
    """Configuration by cell, where it can be read."""
    versions: list[Record]
    """The distinct sets of library versions that finished runs recorded."""
    runs: pd.DataFrame
    curve: pd.DataFrame
    phases: pd.DataFrame
    unreported: int
    """Run directories that `sweep.json` does not list."""


@dataclass
class Cell:
    """One cell as read: a row of `runs`, and what belongs to it."""

    row: Record
    config: Record | None
    curve: list[Record]
    phases: list[Record]
    versions: Record | None


class Damaged(Exception):
    """A file of the store that isn't what it should be; the message names it."""


def read_store(path: Path) -> Store:
    """Read the sweep in `path`; raise `UserError` where there is none."""
    manifest = read_manifest(path)
    cells = [read_cell(path / "runs" / cell) for cell in manifest["cells"]]
    configs = {cell.row["cell"]: cell.config for cell in cells if cell.config}
    arms = {**arm_names(configs), **manifest["arms"]}
    rows = [{**cell.row, "arm": arms.get(cell.row["cell"], cell.row["algorithm"])} for cell in cells]
    present = {run.name for run in (path / "runs").glob("*") if run.is_dir()}
    versions: list[Record] = []
    for cell in cells:
        if cell.versions is not None and cell.versions not in versions:
            versions.append(cell.versions)
    return Store(
        path=path,
        manifest=manifest,
        configs=configs,
        versions=versions,
        runs=pd.DataFrame(rows, columns=RUN_COLUMNS),
        curve=pd.DataFrame([line for cell in cells for line in cell.curve], columns=CURVE_COLUMNS),
        phases=pd.DataFrame([phase for cell in cells for phase in cell.phases], columns=PHASE_COLUMNS),
        unreported=len(present - set(manifest["cells"])),
    )


def read_manifest(path: Path) -> Record:
    """`sweep.json`, checked."""
    try:
        manifest = read_json(path / "sweep.json")
        cells = manifest["cells"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"{path} has no sweep.json: name the directory of a sweep (its sweep.out)") from error
    except OSError as error:
        raise UserError(f"{path}/sweep.json can't be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}/sweep.json is damaged: run the sweep again to write it anew") from error
    foreign = [cell for cell in cells if not isinstance(cell, str) or not CELL.fullmatch(cell)]
    if foreign:
        raise UserError(f"{path}/sweep.json lists {foreign[0]!r}, not ALGORITHM-ENV-MODEL-sSEED-HASH")
    if not cells:
        raise UserError(f"{path}/sweep.json lists no cells: there is nothing to report")
    absent = {"name": path.name, "command": "", "commit": "", "creditbench": "", "controls": []}
    return {
        **absent,
        "contrasts": {},
        "sesoi": SESOI,
        "model": {"factors": [], "cells": []},
        **NO_TUNING,
        **manifest,
    }


def read_cell(path: Path) -> Cell:
    """One cell, whatever state it is in."""
    named = CELL.fullmatch(path.name)
    assert named, path.name
    row: Record = {"cell": path.name, **named.groupdict(), "seed": int(named["seed"])}
    if not (path / "config.json").exists():
        return Cell({**row, "state": "waiting", "reason": "not started"}, None, [], [], None)
    config = None
    try:
        config = read_object(path / "config.json", "algorithm", "env", "budget", "evaluation", "model")
        return read_started(path, row, config)
    except Damaged as damage:
        return Cell({**row, "state": "damaged", "reason": str(damage)}, config, [], [], None)


def read_started(path: Path, row: Record, config: Record) -> Cell:
    """A cell that has a configuration; raise `Damaged` where a file of it can't be used."""
    lines = read_lines(path / "metrics.jsonl")
    try:
        timing = read_lines(path / "timing.jsonl")
        curve = evaluations(path.name, lines, config, training_seconds(timing))
        row = {**row, **seconds(timing), **attempts(read_lines(path / "attempts.jsonl"))}
        measured = phase_times(timing)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"{path.name}: unexpected content in a .jsonl file ({error})") from error
    if curve:
        row["start_success"] = curve[0]["success"]
    if not (path / "result.json").exists():
        state, reason = progress(path, curve)
        row["iterations"] = max((line["iteration"] for line in lines if "iteration" in line), default=0)
        return Cell({**row, "state": state, "reason": reason}, config, curve, [], None)
    result = read_object(path / "result.json", "final_success", "ledger", "panel_hash", "overshoot")
    check_sums(path, result)
    try:
        window = int(config["evaluation"]["window"])
        row |= finished(result, curve[-window:])
        phases = [
            {"cell": path.name, "phase": name, **entry, **measured.get(name, {})}
            for name, entry in result["ledger"]["phases"].items()
        ]
        row["peak_memory"] = max((each["peak_memory"] for each in measured.values()), default=None)
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise Damaged(f"{path.name}/result.json: unexpected content ({error})") from error
    return Cell({**row, "state": "done", "reason": ""}, config, curve, phases, result.get("versions"))


def check_sums(path: Path, result: Record) -> None:
    """Raise `Damaged` unless a finished cell's numbers are those that its run wrote."""
    if "checksum" not in result:
        return  # a store of an older version
    try:
        written = checksums.read_sealed(path / "result.json")
        checksums.compare(path / "metrics.jsonl", written["metrics_sha256"])
    except checksums.Damaged as damage:
        raise Damaged(f"{path.name}: {damage}: remove this directory and run the sweep again") from damage


def finished(result: Record, window: list[Record]) -> Record:
    """The columns of `runs` that a finished cell adds."""
    final = float(result["final_success"])
    if not math.isfinite(final):
        raise ValueError(f"final_success is {final}")
    counts = ("env_steps", "env_steps_replayed", "env_steps_evaluation", "trajectories")
    # Stores of older versions have neither these nor the start's hash.
    reused = result["ledger"].get("prefix_reused", {})
    return {
        "final_success": final,
        "greedy_success": sum(line["greedy_success"] for line in window) / len(window),
        "iterations": result.get("iterations"),
        "overshoot": float(result["overshoot"]),
        "panel_hash": result["panel_hash"],
        "start_hash": result.get("start_hash"),
        "tool_calls": result["ledger"].get("tool_calls"),
        **{name: result["ledger"][name] for name in counts},
        **{f"{unit}_reused": reused.get(unit) for unit in ("tokens", "flops")},
    }


def progress(path: Path, curve: list[Record]) -> tuple[str, str]:
    """State and reason of a cell without a result."""
    if (path / "failure.json").exists():
        failure = read_object(path / "failure.json", "reason")
        return "failed", str(failure["reason"])
    if not curve:
        return "unfinished", "started, not evaluated yet"
    return "unfinished", f"{min(curve[-1]['spent'], 1.0):.0%} of the budget spent"


def evaluations(
    cell: str, lines: list[Record], config: Record, seconds_by_iteration: dict[int, float]
) -> list[Record]:
    """The evaluation lines, each with the share of the budget spent and the seconds trained."""
    axis, limit = config["budget"]["axis"], float(config["budget"]["limit"])
    kept = [line for line in lines if line["kind"] == "evaluation"]
    columns = [name for name in CURVE_COLUMNS if name not in ("cell", "trajectories", "seconds", "spent")]
    return [
        {name: line[name] for name in columns}
        | {"cell": cell, "spent": line[axis] / limit}
        | {"trajectories": line.get("trajectories"), "seconds": seconds_by_iteration.get(line["iteration"])}
        for line in kept
    ]


def training_seconds(lines: list[Record]) -> dict[int, float]:
    """Seconds of rollouts and updates up to the end of each iteration; 0 before the first."""
    total, found = 0.0, {0: 0.0}
    for line in lines:
        total += float(line.get("rollout", 0.0)) + float(line.get("update", 0.0))
        found[line["iteration"]] = total
    return found


def seconds(lines: list[Record]) -> Record:
    """Total seconds by kind of work."""
    kinds = ("rollout", "update", "evaluation")
    return {f"{kind}_seconds": float(sum(line.get(kind, 0.0) for line in lines)) for kind in kinds}


def phase_times(lines: list[Record]) -> dict[str, Record]:
    """Seconds in all and the highest peak of memory, by phase."""
    measured: dict[str, Record] = {}
    for line in lines:
        for phase, elapsed in line.get("phases", {}).items():
            entry = measured.setdefault(phase, {"seconds": 0.0, "peak_memory": 0})
            entry["seconds"] += float(elapsed)
            entry["peak_memory"] = max(entry["peak_memory"], int(line["peak_memory"][phase]))
    return measured


def attempts(lines: list[Record]) -> Record:
    """How often the cell was started, and what was done again after interruptions."""
    redone = {
        f"{unit}_redone": float(sum(line["redone"][unit] for line in lines)) for unit in ("flops", "seconds")
    }
    return {"attempts": len(lines) or None, **redone}


def read_object(path: Path, *required: str) -> Record:
    """A JSON object with the `required` keys."""
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise Damaged(f"{path.parent.name}/{path.name} can't be read as JSON") from error
    missing = [key for key in required if not isinstance(content, dict) or key not in content]
    if missing:
        raise Damaged(f"{path.parent.name}/{path.name} has no {', '.join(missing)}")
    return dict(content)


def read_lines(path: Path) -> list[Record]:
    """JSON objects, one a line. A torn last line is a write in flight and ignored; no file is no line."""
    lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
    records = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            record = json.loads(line)
        except ValueError as error:
            raise Damaged(f"{path.parent.name}/{path.name}, line {number}: not JSON") from error
        if not isinstance(record, dict):
            raise Damaged(f"{path.parent.name}/{path.name}, line {number}: not a JSON object")
        records.append(record)
    return records


def arm_names(configs: dict[str, Record]) -> dict[str, str]:
    """Each cell's arm: its algorithm, with the settings that set it apart from another arm of that name."""
    variants: dict[str, list[Record]] = {}
    for cell, config in configs.items():
        known = variants.setdefault(without_seed(cell), [])
        if (mine := options_of(config)) not in known:
            known.append(mine)
    names = {}
    for cell, config in configs.items():
        known, mine = variants[without_seed(cell)], options_of(config)
        apart = sorted(k for k in mine if any(other.get(k) != mine[k] for other in known))
        names[cell] = " ".join([algorithm_of(cell), *(f"{k}={mine[k]}" for k in apart)])
    return names


def options_of(config: Record) -> Record:
    """What an arm may set: its algorithm's options by name, others as SECTION.OPTION."""
    others = [part for part in PARTS if part != "algorithm"]
    beside = {f"{part}.{k}": v for part in others for k, v in config.get(part, {}).items()}
    return {**config["algorithm"], **beside}


def without_seed(cell: str) -> str:
    """What comes before the seed in a cell's id: algorithm, environment and model."""
    return cell.rpartition("-s")[0]


def algorithm_of(cell: str) -> str:
    """The algorithm's name in a cell's id."""
    named = CELL.fullmatch(cell)
    return named["algorithm"] if named else cell
