"""Which files differ if a store was made by other code: `code/VERSION.json` notes what a version was."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from harness.code_version import code_version, sources
from harness.config import RunConfig
from harness.errors import UserError
from harness.store import RunDir, cell_id, write_json
from harness.store.files import make_folder

NAMED = 5
"""Files that a message names."""


def note(out: Path, cells: Sequence[RunConfig]) -> None:
    """Write down what this code's versions are made of."""
    make_folder(out / "code")
    kinds = {(type(cell.algorithm), type(cell.env)): cell for cell in cells}
    for cell in kinds.values():
        path = file(out, code_version(cell.algorithm, cell.env))
        if not path.exists():
            write_json(path, sources(cell.algorithm, cell.env))


def file(out: Path, version: str) -> Path:
    """Where a version is noted."""
    return out / "code" / f"{version}.json"


def check_code(out: Path, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if other code than this has made a part of the store."""
    others: set[str] = set()
    mixed = 0
    for cell in cells if (out / "runs").exists() else ():
        mine = code_version(cell.algorithm, cell.env)
        other = RunDir(out / "runs" / cell_id(cell)).codes() - {mine}
        others |= {name for version in other for name in changed(out, version, cell)}
        mixed += bool(other)
    if mixed:
        raise UserError(
            f"{mixed} of {len(cells)} cells in sweep.out={out} were run by other code or library versions "
            f"({listed(others)}): set sweep.out=DIR for a new store, or "
            "launcher.allow_mixed_code=true to mix them"
        )


def changed(out: Path, version: str, cell: RunConfig) -> list[str]:
    """The files and libraries that differ from those of a version; the version if they are not known."""
    try:
        before = json.loads(file(out, version).read_bytes())
        now = sources(cell.algorithm, cell.env)
        differ = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    except (OSError, ValueError, AttributeError, TypeError):
        return [f"version {version}"]
    return differ or [f"version {version}"]


def listed(names: Collection[str]) -> str:
    """Names for a message."""
    first = sorted(names)[:NAMED]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"other: {', '.join(first)}{more}"
