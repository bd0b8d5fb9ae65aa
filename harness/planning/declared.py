"""What a sweep says of itself before anything runs: the content of `sweep.json` (see `harness.manifest`)."""

import subprocess
from collections.abc import Collection, Sequence
from pathlib import Path

from harness import __version__
from harness.cells import Record
from harness.compose.arms import tuning_record
from harness.compose.contrasts import factorial, resolve
from harness.config import RunConfig, SweepConfig
from harness.planning.labels import labels
from harness.store import cell_id
from harness.store.run_dir import FORMAT


def manifest(sweep: SweepConfig, cells: Sequence[RunConfig], command: str) -> Record:
    """The cells and what each one is, the `command` that asks for them, and what is to be compared.

    Raises `UserError` for contrasts and factors that the arms can't answer.
    """
    ids = [cell_id(cell) for cell in cells]
    labelled = dict(zip(ids, labels(sweep, cells), strict=True))
    return {
        "name": sweep.name,
        "command": command,
        "cells": ids,
        "arms": {cell: label.arm for cell, label in labelled.items()},
        "environments": {cell: label.environment for cell, label in labelled.items()},
        "controls": [cell_id(cell) for cell in cells if cell.algorithm.control],
        "contrasts": {
            name: {side: [cell_id(cell) for cell in members] for side, members in sides.items()}
            for name, sides in resolve(sweep, cells).items()
        },
        "model": {
            "factors": list(sweep.factors),
            "cells": [cell_id(cell) for cell in factorial(sweep, cells)],
        },
        "sesoi": sweep.sesoi,
        "dial": sweep.dial,
        "looks": list(sweep.looks),
        "creditbench": __version__,
        "format": FORMAT,
        "commit": commit(),
        **tuning_record(sweep, ids),
    }


def of_cells(declared: Record, asked: Collection[str]) -> Record:
    """What is declared of some of the cells; the rest have not been asked for yet."""

    def among(ids: Sequence[str]) -> list[str]:
        return [id for id in ids if id in asked]

    named = {
        key: {id: declared[key][id] for id in among(declared["cells"])} for key in ("arms", "environments")
    }
    contrasts = {
        name: {side: among(members) for side, members in sides.items()}
        for name, sides in declared["contrasts"].items()
    }
    lists = {key: among(declared[key]) for key in ("cells", "controls")}
    model = {**declared["model"], "cells": among(declared["model"]["cells"])}
    return {**declared, **named, **lists, "contrasts": contrasts, "model": model}


def commit() -> str:
    """The source tree's commit, with `+` when it has changes; empty outside a checkout."""
    try:
        head, changes = git("rev-parse", "--short=12", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head + ("+" if changes else "")


def git(*arguments: str) -> str:
    """What git prints about the source tree."""
    folder = str(Path(__file__).resolve().parent)
    done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
