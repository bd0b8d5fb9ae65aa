"""A sweep's directory as it stands. Reads only: writes nothing, takes no lock.

What can't be read is named; the rest is shown.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.cells import Record, arm_names
from harness.distrust import Damaged, one_line
from harness.manifest import folders_in, foreign, read_manifest
from harness.reading.cell import Cell, read_cell, seconds, unstarted

TIMED = 8
"""Cells of an arm whose seconds are read: those that have spent most."""


@dataclass(frozen=True)
class Sweep:
    """A sweep as read."""

    path: Path
    name: str
    command: str
    arms: dict[str, list[Cell]]
    """Cells by arm: the algorithm, with the options that set it apart from others of that name."""
    notes: list[str]
    """What is wrong with the directory, beyond its cells."""
    read_at: float
    """Seconds since 1970."""

    def log(self, cell: Cell) -> Path:
        """Where the cell's attempts print to."""
        return self.path / "runs" / cell.id / "log.txt"


def read_sweep(path: Path) -> Sweep:
    """The sweep in `path` now; raise `UserError` if there is none."""
    now = time.time()
    folders = set(folders_in(path / "runs") or [])
    manifest, notes = read_manifest(path)
    ids = manifest["cells"]
    notes += foreign(folders, ids)
    runs = os.path.join(path, "runs")
    cells = [read_cell(f"{runs}/{id}", id, now) if id in folders else unstarted(id) for id in ids]
    arms = by_arm(cells, manifest["arms"], manifest["environments"])
    for name, members in arms.items():
        arms[name], more = with_seconds(members, runs)
        notes += more
    return Sweep(path, manifest["name"], one_line(manifest["command"]), arms, notes, now)


def by_arm(cells: Sequence[Cell], arms: Record, environments: Record) -> dict[str, list[Cell]]:
    """The cells of each arm by its name, with the environment or the model if there are several.

    `arms`, `environments`: names by cell, as `sweep.json` has them; what it lacks is told by the cells.
    """
    told = arm_names([cell.id for cell in cells], {cell.id: cell.options for cell in cells if cell.options})
    envs = {cell.id: environments.get(cell.id, cell.env) for cell in cells}
    several_envs = len(set(envs.values())) > 1 or any("(" in env for env in envs.values())  # a label
    several_models = len({cell.model for cell in cells}) > 1
    found: dict[str, list[Cell]] = {}
    for cell in cells:
        where = [envs[cell.id]] * several_envs + [f"model {cell.model}"] * several_models
        name = arms.get(cell.id, told[cell.id]) + (f" ({', '.join(where)})" if where else "")
        found.setdefault(name, []).append(cell)
    shown: dict[str, list[Cell]] = {}
    for name, members in found.items():
        shown.setdefault(one_line(name), []).extend(members)
    return shown


def with_seconds(cells: Sequence[Cell], runs: str) -> tuple[list[Cell], list[str]]:
    """An arm's cells, with the seconds of those that spent most, and a note for each that can't be read."""
    most = sorted(range(len(cells)), key=lambda index: cells[index].spent)[-TIMED:]
    read, notes = list(cells), []
    for index in most:
        if cells[index].spent:
            try:
                read[index] = replace(cells[index], seconds=seconds(f"{runs}/{cells[index].id}"))
            except (Damaged, OSError) as damage:
                notes.append(f"{cells[index].id}/{one_line(damage)}")
    return read, notes
