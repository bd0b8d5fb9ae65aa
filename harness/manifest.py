"""`sweep.json`, read with distrust: what can't be used is named, and the rest is used.

name, command    the sweep's, as they were typed
cells            ids of its cells, seed by seed
arms             each cell's arm, the same in every environment
environments     each cell's environment, as `sweep.envs` has it
controls         cells of arms that are not contestants
contrasts        by name, the cells on the `left` and on the `right`
model            `factors` whose effects are estimated together, and the `cells` that are taken for it
sesoi            the smallest effect of interest
dial             the option of the environment that differences are drawn against; empty: none
looks            the numbers of seeds after which seeds may end; empty: all seeds were declared
creditbench      the version, and the `commit`, that wrote it
format           of the store, see `harness.store.run_dir.FORMAT`
references, knobs, tuning, tuned    see `harness.compose.arms.tuning_record`
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from harness.cells import Record, is_cell
from harness.distrust import one_line
from harness.errors import UserError

UNKNOWN = "what is under runs/ is shown, cells that have not started are unknown, and so is what was declared"
"""What the loss of the file means."""


def texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def named_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def sides(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, dict) and set(each) == {"left", "right"} and all(map(texts, each.values()))
        for each in value.values()
    )


def modelled(value: Any) -> bool:
    return isinstance(value, dict) and texts(value.get("factors")) and texts(value.get("cells"))


def share(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < 1


def text(value: Any) -> bool:
    return isinstance(value, str)


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def wholes(value: Any) -> bool:
    return isinstance(value, list) and all(map(whole, value))


def record(value: Any) -> bool:
    return value is None or isinstance(value, dict)


KEYS: dict[str, tuple[Any, Callable[[Any], bool]]] = {
    "name": ("", text),
    "command": ("", text),
    "arms": ({}, named_texts),
    "environments": ({}, named_texts),
    "controls": ([], texts),
    "contrasts": ({}, sides),
    "model": ({"factors": [], "cells": []}, modelled),
    "sesoi": (None, share),
    "dial": ("", text),
    "looks": ([], wholes),
    "creditbench": ("", text),
    "commit": ("", text),
    "format": (None, whole),
    "references": ([], texts),
    "knobs": ([], texts),
    "tuning": (None, record),
    "tuned": (None, record),
}
"""What stands for a key that is missing, as in files of older versions, and whether its value can be used."""


def read_manifest(path: Path) -> tuple[Record, list[str]]:
    """What the `sweep.json` in `path` says, all keys present, and what is wrong with it, a line each.

    Raises `UserError` if there is nothing to show: no usable file, and no cells under `runs/` either.
    """
    folders = folders_in(path / "runs")
    try:
        content = json.loads((path / "sweep.json").read_bytes())
        listed = content["cells"]
        if not isinstance(listed, list):
            raise TypeError("cells")
    except (FileNotFoundError, NotADirectoryError) as error:
        if folders is None:
            raise UserError(
                f"{path} has no sweep.json: name the directory of a sweep (its sweep.out)"
            ) from error
        content, listed, notes = {}, cells_among(folders), [f"sweep.json is missing: {UNKNOWN}"]
    except OSError as error:
        raise UserError(f"{path}/sweep.json can't be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        content, listed, notes = {}, cells_among(folders), [f"sweep.json is damaged: {UNKNOWN}"]
    else:
        notes = []
    cells = list(dict.fromkeys(cells_among(listed)))
    if len(cells) < len(listed):
        notes += [
            f"sweep.json lists {one_line(id)!r}, which is not a cell" for id in listed if not is_cell(id)
        ]
    if not cells:
        why = f" ({notes[0]})" if notes else ""
        raise UserError(
            f"{path}/sweep.json names no cells{why}: name the directory of a sweep (its sweep.out)"
        )
    manifest: Record = {"cells": cells}
    for key, (default, usable) in KEYS.items():
        manifest[key] = content.get(key, default)
        if key in content and not usable(content[key]):
            manifest[key] = default
            notes.append(f"sweep.json: {key} is damaged and not used")
    manifest["name"] = one_line(manifest["name"]) or path.resolve().name
    return manifest, notes


def cells_among(names: list[Any] | None) -> list[str]:
    """Those that are names of cells."""
    return [name for name in names or [] if is_cell(name)]


def folders_in(runs: Path) -> list[str] | None:
    """Names of the folders in `runs`, or None if it isn't there."""
    try:
        with os.scandir(runs) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UserError(f"{runs} can't be read ({error.strerror})") from error


def foreign(folders: Iterable[str], cells: Iterable[str]) -> list[str]:
    """A note about the folders under `runs` that are not cells of the sweep."""
    found = sorted(set(folders) - set(cells))
    if not found:
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [f"not part of this sweep and not counted: runs/{one_line(found[0])}{more}"]
