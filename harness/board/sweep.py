"""A sweep's directory as it stands. Reads only: writes nothing, takes no lock.

What can't be read is named; the rest is shown.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.board.cell import CELL, Cell, read_cell, seconds, unstarted
from harness.board.files import Damaged, Record, one_line
from harness.errors import UserError

Kind = tuple[str, str]
"""Algorithm and setting."""
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
    """The sweep in `path` now; raise `UserError` where there is none."""
    now = time.time()
    folders = folders_in(path / "runs")
    manifest, notes = read_manifest(path, folders is not None)
    there = set(folders or [])
    ids = manifest["cells"]
    if ids is None:
        ids = [name for name in folders or [] if is_cell(name)]
    if not ids:
        raise UserError(f"{path} holds no cells: name the directory of a sweep (its sweep.out)")
    notes += foreign(there - set(ids))
    runs = os.path.join(path, "runs")
    cells = [read_cell(f"{runs}/{id}", id, now) if id in there else unstarted(id) for id in ids]
    arms = by_arm(cells, manifest["arms"])
    for name, members in arms.items():
        arms[name], more = with_seconds(members, runs)
        notes += more
    return Sweep(path, manifest["name"], manifest["command"], arms, notes, now)


def folders_in(runs: Path) -> list[str] | None:
    """Names of the folders in `runs`, or None where it isn't there."""
    try:
        with os.scandir(runs) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{runs} can't be read ({error.strerror})") from error


def read_manifest(path: Path, has_runs: bool) -> tuple[Record, list[str]]:
    """Name, command and cells (None: unknown) as `sweep.json` has them, and what is wrong with it."""
    manifest: Record = {"name": path.resolve().name, "command": "", "cells": None, "arms": {}}
    unknown = "what is under runs/ is shown, cells that have not started are unknown"
    try:
        read = json.loads((path / "sweep.json").read_bytes())
        listed = read["cells"]
        cells = [id for id in listed if is_cell(id)]
        arms = dict(read.get("arms", {}))
    except (FileNotFoundError, NotADirectoryError) as error:
        if not has_runs:
            raise UserError(
                f"{path} has no sweep.json: name the directory of a sweep (its sweep.out)"
            ) from error
        return manifest, [f"sweep.json is missing: {unknown}"]
    except OSError as error:
        raise UserError(f"{path}/sweep.json can't be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        return manifest, [f"sweep.json is damaged: {unknown}"]
    notes = [f"sweep.json lists {one_line(id)!r}, which is no cell" for id in listed if not is_cell(id)]
    manifest |= {key: one_line(read[key]) for key in ("name", "command") if key in read}
    return {**manifest, "cells": list(dict.fromkeys(cells)), "arms": arms}, notes


def is_cell(name: object) -> bool:
    """Whether this is the name of a cell."""
    return isinstance(name, str) and CELL.fullmatch(name) is not None


def foreign(names: Iterable[str]) -> list[str]:
    """A note about the folders under `runs` that are not cells of the sweep."""
    found = sorted(names)
    if not found:
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [f"not part of this sweep and not counted: runs/{one_line(found[0])}{more}"]


def by_arm(cells: Sequence[Cell], named: Record) -> dict[str, list[Cell]]:
    """The cells of each arm, by its name: the one in `named`, else what its options say.

    A sweep lists its arms in the same order for every seed. A cell that has not started therefore belongs to
    the arm that other seeds have in its place.
    """
    seen: Counter[tuple[Kind, int]] = Counter()
    places = []
    for cell in cells:
        places.append((kind(cell), seen[kind(cell), cell.seed]))
        seen[kind(cell), cell.seed] += 1
    options = {place: cell.options for place, cell in zip(places, cells, strict=True) if cell.options}
    variants: dict[Kind, list[Record]] = {}
    for cell in cells:
        known = variants.setdefault(kind(cell), [])
        if cell.options and cell.options not in known:
            known.append(cell.options)
    labels = {
        key: [" ".join([key[0], *apart(each, known)]) for each in known] for key, known in variants.items()
    }
    several = len({cell.setting for cell in cells}) > 1
    arms: dict[str, list[Cell]] = {}
    for place, cell in zip(places, cells, strict=True):
        mine = cell.options or options.get(place)
        if cell.id in named:
            name = one_line(named[cell.id])
        elif mine:
            name = labels[kind(cell)][variants[kind(cell)].index(mine)]
        else:
            name = f"{cell.algorithm} #{place[1] + 1}" if place[1] else cell.algorithm
        arms.setdefault(f"{name} ({cell.setting})" if several else name, []).append(cell)
    return arms


def kind(cell: Cell) -> Kind:
    """What a cell's name says of its arm."""
    return cell.algorithm, cell.setting


def apart(mine: Record, variants: Sequence[Record]) -> list[str]:
    """`OPTION=VALUE` for what sets an arm apart from the variants of its algorithm."""
    return [f"{key}={mine[key]}" for key in sorted(mine) if any(v.get(key) != mine[key] for v in variants)]


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
