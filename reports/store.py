"""The run store as data frames. Nothing here computes a statistic.

A sweep's directory holds `sweep.json` (see `harness.manifest`) and `runs/CELL/` (see
`harness.store.run_dir`). Only the cells that `sweep.json` lists are read; without it, all that are there.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.cells import Record, arm_names, options_of
from harness.manifest import folders_in, read_manifest
from reports.reading import CURVE_COLUMNS, read_rows
from reports.stats import SESOI

RUN_COLUMNS = [
    "cell", "arm", "env", "model", "seed", "state", "reason", "failure", "final_score", "final_success",
    "measure", "greedy_score", "start_score", "iterations", "overshoot", "rollout_seconds",
    "update_seconds", "evaluation_seconds", "env_steps", "env_steps_replayed", "env_steps_evaluation",
    "trajectories", "tokens_reused", "flops_reused", "tool_calls", "peak_memory", "attempts", "code",
    "flops_redone", "seconds_redone", "panel_hash", "start_hash", "placement", "hosts",
]  # fmt: skip
PHASE_COLUMNS = ["cell", "phase", "tokens", "flops", "computed", "seconds", "peak_memory"]
OUTCOME_COLUMNS = ["cell", "kind", "name", "value"]


@dataclass(frozen=True)
class Store:
    """What a sweep's directory says.

    `runs`: one row per cell; `state` is one of `harness.reading.cell.State`, `reason` says why.
    `curve`: one row per evaluation; `spent` is the budget axis' amount over the limit, `seconds` those that
    rollouts and updates took before it.
    `phases`: one row per phase of a finished cell; `flops` nominal, `computed` really done, memory in bytes.
    `outcomes`: one row a stop reason of a finished cell's episodes, or a number of its environment's own.
    """

    path: Path
    manifest: Record
    configs: dict[str, Record]
    """Configuration by cell, if it can be read."""
    versions: list[Record]
    """The distinct sets of library versions that finished runs recorded."""
    runs: pd.DataFrame
    curve: pd.DataFrame
    phases: pd.DataFrame
    outcomes: pd.DataFrame
    unreported: int
    """Run directories that `sweep.json` does not list."""
    notes: list[str]
    """Files that can't be used, one line each."""


def read_store(path: Path) -> Store:
    """Read the sweep in `path`; raise `UserError` if there is none."""
    manifest, notes = read_manifest(path)
    manifest["sesoi"] = manifest["sesoi"] or SESOI
    ids = manifest["cells"]
    now = time.time()
    cells = [read_rows(path / "runs", id, now) for id in ids]
    configs = {id: cell.config for id, cell in zip(ids, cells, strict=True) if cell.config}
    arms = {**arm_names(ids, {id: options_of(config) for id, config in configs.items()}), **manifest["arms"]}
    environments = manifest["environments"]
    versions: list[Record] = []
    for cell in cells:
        cell.row |= {
            "arm": arms[cell.row["cell"]],
            "env": environments.get(cell.row["cell"], cell.row["env"]),
        }
        if cell.versions is not None and cell.versions not in versions:
            versions.append(cell.versions)
    return Store(
        path=path,
        manifest=manifest,
        configs=configs,
        versions=versions,
        runs=pd.DataFrame([cell.row for cell in cells], columns=RUN_COLUMNS),
        curve=pd.DataFrame([line for cell in cells for line in cell.curve], columns=CURVE_COLUMNS),
        phases=pd.DataFrame([phase for cell in cells for phase in cell.phases], columns=PHASE_COLUMNS),
        outcomes=pd.DataFrame([row for cell in cells for row in cell.outcomes], columns=OUTCOME_COLUMNS),
        unreported=len(set(folders_in(path / "runs") or []) - set(ids)),
        notes=notes + [note for cell in cells for note in cell.notes],
    )
