"""How a store names cells and arms. Imports nothing heavy: the board of a sweep starts with it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Record = dict[str, Any]
CELL = re.compile(r"(?P<algorithm>[^/]+?)-(?P<env>[^/]+?)-(?P<model>[^/]+)-s(?P<seed>\d+)-[0-9a-f]+")
PARTS = ("algorithm", "env", "model", "prompt", "engine", "rollout", "batch", "budget", "evaluation")
"""The parts of a run's configuration that have options."""
WORK = ("rollout", "update", "evaluation")
"""What a line of `timing.jsonl` adds up to: its other seconds are parts of these, or hidden behind them."""


def is_cell(name: object) -> bool:
    """Whether this is the name of a cell."""
    return isinstance(name, str) and CELL.fullmatch(name) is not None


def seed_of(cell: str) -> int:
    """The seed in a cell's name."""
    named = CELL.fullmatch(cell)
    assert named, cell
    return int(named["seed"])


def options_of(config: Mapping[str, Any]) -> Record:
    """What an arm may set: its algorithm's options by name, others as SECTION.OPTION."""
    beside = {f"{part}.{k}": v for part in PARTS[1:] for k, v in config.get(part, {}).items()}
    return {**config["algorithm"], **beside}


def arm_names(cells: Sequence[str], options: Mapping[str, Record]) -> dict[str, str]:
    """Each cell's arm: its algorithm, with the options that set it apart from other arms of that name.

    `options`: what `options_of` gives, of the cells that have a configuration. A sweep lists its arms in the
    same order for every seed, so a cell without one belongs to the arm that other seeds have in its place.
    """
    kinds, places = [], []
    algorithms: dict[str, str] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for cell in cells:
        kind, _, seed = cell.rpartition("-")[0].rpartition("-s")  # algorithm, environment and model
        kinds.append(kind)
        if kind not in algorithms:
            named = CELL.fullmatch(cell)
            assert named, cell
            algorithms[kind] = named["algorithm"]
        places.append((kind, seen[kind, seed]))
        seen[kind, seed] += 1
    variants: dict[str, list[Record]] = {}
    by_place: dict[tuple[str, int], Record] = {}
    for cell, kind, place in zip(cells, kinds, places, strict=True):
        known = variants.setdefault(kind, [])
        if mine := options.get(cell):
            by_place[place] = mine
            if mine not in known:
                known.append(mine)
    labels = {kind: [apart(each, known) for each in known] for kind, known in variants.items()}
    names = {}
    for cell, kind, place in zip(cells, kinds, places, strict=True):
        if found := options.get(cell) or by_place.get(place):
            words = labels[kind][variants[kind].index(found)]
        else:
            words = [f"#{place[1] + 1}"] if place[1] else []
        names[cell] = " ".join([algorithms[kind], *words])
    return names


def apart(mine: Mapping[str, Any], variants: Sequence[Mapping[str, Any]]) -> list[str]:
    """`OPTION=VALUE` for what sets an arm apart from the variants of its algorithm."""
    return [f"{key}={mine[key]}" for key in sorted(mine) if any(v.get(key) != mine[key] for v in variants)]
