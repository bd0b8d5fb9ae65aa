"""A directory belongs to one sweep, so that its report holds all that was run for it.

The same sweep with more seeds, arms or environments keeps every cell that `sweep.json` lists, and goes on.
Anything else is refused, or added on purpose with `sweep.append=true`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.cells import CELL, Record, arm_names, options_of
from harness.compose.sweeps import MATCHED
from harness.config import RunConfig
from harness.config.plain import shown, to_plain
from harness.errors import UserError
from harness.lease import turn
from harness.manifest import KEYS, read_manifest
from harness.store import cell_id, write_json
from harness.store.run_dir import FORMAT

MANIFEST = "sweep.json"


def claim(out: Path, declared: Record, cells: Sequence[RunConfig], append: bool) -> None:
    """Make `out` the directory of the sweep that `declared` describes; raises `UserError` as `content` does.

    Of two sweeps that start at the same time, the second sees what the first has written.
    """
    out.mkdir(parents=True, exist_ok=True)
    with turn(out):
        write_json(out / MANIFEST, content(out, declared, cells, append))


def content(out: Path, declared: Record, cells: Sequence[RunConfig], append: bool) -> Record:
    """What `sweep.json` in `out` has to say.

    Raises `UserError` if `out` belongs to another sweep, or if what is there can't be kept next to it.
    """
    before = earlier(out)
    if before is None:
        return declared
    check_format(out, before)
    if append:
        return joined(out, before, declared, {cell_id(cell): to_plain(cell) for cell in cells})
    listed = set(declared["cells"])
    lost = [cell for cell in before["cells"] if cell not in listed]
    if lost:
        raise UserError(
            f"sweep.out={out} belongs to another sweep ({before['command'] or before['name']}): "
            f"{len(lost)} of its {len(before['cells'])} cells are not in this one; set sweep.out=DIR, or "
            "sweep.append=true to add these cells and report all"
        )
    check_declarations(out, before, declared)
    return declared


def earlier(out: Path) -> Record | None:
    """What the `sweep.json` in `out` says; None if it is missing or unusable."""
    try:
        if not isinstance(json.loads((out / MANIFEST).read_bytes())["cells"], list):
            return None
        return read_manifest(out)[0]
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, UserError):
        return None


def check_format(out: Path, before: Record) -> None:
    """Raise `UserError` where a version of another store format has made what is there."""
    if before["format"] != FORMAT:
        by = f" (commit {before['commit']})" if before["commit"] else ""
        raise UserError(
            f"sweep.out={out} was made by a version of CreditBench{by} whose cells this one can't go on "
            f"with: set sweep.out=DIR for a new store; python -m reports.compare {out} still writes its "
            "report"
        )


def check_declarations(out: Path, before: Record, declared: Record) -> None:
    """Raise `UserError` if what is to be compared has changed since there are results."""
    if not any((out / "runs").glob("*/result.json")):
        return
    changed = {
        "sweep.sesoi": before["sesoi"] not in (None, declared["sesoi"]),
        "sweep.contrasts": not keeps(before["contrasts"], declared["contrasts"]),
        "sweep.factors": before["model"]["factors"] != declared["model"]["factors"],
        "sweep.dial": before["dial"] != declared["dial"],
        "sweep.seeds": before["looks"] != declared["looks"],
    }
    for option, differs in changed.items():
        if differs:
            raise UserError(
                f"sweep.out={out} has results, and {option} is not what was declared before they were known "
                f"({before['command'] or before['name']}): leave it as it was, or set sweep.out=DIR"
            )


def keeps(before: Mapping[str, Record], now: Mapping[str, Record]) -> bool:
    """Whether the same contrasts are declared, each with all cells that it had."""
    return before.keys() == now.keys() and all(
        set(members) <= set(now[name][side])
        for name, sides in before.items()
        for side, members in sides.items()
    )


def joined(out: Path, before: Record, declared: Record, configs: Mapping[str, Record]) -> Record:
    """Both sweeps as one. `configs`: the plain configurations of the declared cells."""
    if before["tuning"] or before["tuned"]:
        raise UserError(
            f"sweep.out={out} holds a tuning or its winners, which stand alone: set sweep.out=DIR"
        )
    if before["sesoi"] not in (None, declared["sesoi"]):
        raise UserError(
            f"sweep.sesoi={declared['sesoi']:g} is {before['sesoi']:g} in sweep.out={out}: set sweep.out=DIR"
        )
    if before["model"]["factors"] and before["model"]["factors"] != declared["model"]["factors"]:
        raise UserError(f"sweep.factors differ from those in sweep.out={out}: set sweep.out=DIR")
    known = {cell: config for cell in before["cells"] if (config := config_of(out, cell))}
    environments = {**before["environments"], **declared["environments"]}
    check_matched(out, known, configs, environments)
    ids = union(before["cells"], declared["cells"])
    arms = {**before["arms"], **declared["arms"]}
    if not distinct(ids, arms, environments):
        arms = renamed(ids, {**known, **configs}, environments)
    contrasts = dict(before["contrasts"])
    for name, sides in declared["contrasts"].items():
        had = contrasts.get(name, {})
        contrasts[name] = {side: union(had.get(side, []), members) for side, members in sides.items()}
    commands = union(filter(None, before["command"].split(" && ")), [declared["command"]])
    return {
        **{key: before[key] for key in KEYS if key in declared},
        **{key: declared[key] for key in ("creditbench", "commit", "sesoi")},
        "cells": ids,
        "command": " && ".join(commands),
        "arms": arms,
        "environments": environments,
        "controls": union(before["controls"], declared["controls"]),
        "contrasts": contrasts,
        "model": {
            "factors": declared["model"]["factors"],
            "cells": union(before["model"]["cells"], declared["model"]["cells"]),
        },
    }


def union(some: Iterable[str], others: Iterable[str]) -> list[str]:
    """Both in their order, each once."""
    return list(dict.fromkeys([*some, *others]))


def config_of(out: Path, cell: str) -> Record | None:
    """The plain configuration of a cell that has begun."""
    try:
        config = json.loads((out / "runs" / cell / "config.json").read_bytes())
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) else None


def check_matched(
    out: Path, known: Mapping[str, Record], configs: Mapping[str, Record], environments: Mapping[str, str]
) -> None:
    """Raise `UserError` if new cells could not be compared with those that are there."""
    new = {environments[cell]: config for cell, config in configs.items()}
    any_new = next(iter(configs.values()))
    for cell, config in known.items():
        same = new.get(environments.get(cell, ""), {})
        parts = {part: any_new[part] for part in MATCHED} | ({"env": same["env"]} if same else {})
        for part, options in parts.items():
            for option, value in options.items():
                there = config.get(part, {}).get(option)
                if there != value and (part, option) != ("evaluation", "record"):
                    raise UserError(
                        f"sweep.append: {part}.{option} is {shown(there)} in sweep.out={out} and "
                        f"{shown(value)} here, and has to be the same: set {part}.{option}, or sweep.out=DIR"
                    )


def distinct(ids: Sequence[str], arms: Mapping[str, str], environments: Mapping[str, str]) -> bool:
    """Whether each arm is one configuration in each environment: a cell for a model and a seed."""
    # Ids are names of cells, so that all of them match.
    places = [(arms.get(id), environments.get(id), *CELL.fullmatch(id).group("model", "seed")) for id in ids]  # type: ignore[union-attr]
    return len(set(places)) == len(places)


def renamed(
    ids: Sequence[str], configs: Mapping[str, Record], environments: Mapping[str, str]
) -> dict[str, str]:
    """Each cell's arm, named by what sets it apart from all others in its environment."""
    names: dict[str, str] = {}
    for environment in dict.fromkeys(environments.values()):
        mine = [id for id in ids if environments.get(id) == environment]
        names |= arm_names(mine, {id: options_of(configs[id]) for id in mine if id in configs})
    return names
