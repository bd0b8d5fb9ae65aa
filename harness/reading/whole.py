"""A finished cell is compared with its checksums here: before it is left out of a sweep, or counted."""

import os
import time
from dataclasses import replace
from pathlib import Path

from harness.cells import Record
from harness.distrust import Damaged
from harness.ledger import Ledger
from harness.reading.cell import Budget, Cell, State, check_presence, read_cell
from harness.store import RunDir, checksums

Stamps = list[tuple[int, int, int]]
known: dict[str, tuple[Stamps, Cell]] = {}
"""Finished cells that were found intact, by folder: a launcher asks again and again."""


def stand(path: Path) -> Cell:
    """The cell in a folder now, or that has yet to make it; a finished one is checked when it has changed."""
    folder = str(path)
    try:
        stamps = [stamp(f"{folder}/{name}") for name in ("config.json", "result.json", "metrics.jsonl")]
    except OSError:
        stamps = []
    if stamps and folder in known and known[folder][0] == stamps:
        return known[folder][1]
    cell = read_cell(folder, path.name, time.time(), check_sums)
    if stamps and cell.state is State.done:
        known[folder] = stamps, cell
    return cell


def stamp(path: str) -> tuple[int, int, int]:
    """What changes with a file."""
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns


def check_sums(folder: str, result: Record) -> None:
    """Raise `Damaged` unless the numbers of a finished cell are those that it wrote.

    A result without a checksum is an older version's: nothing but the report, line by line, can judge it.
    """
    check_presence(folder, result)
    if "checksum" not in result:
        return
    path = Path(folder)
    try:
        checksums.compare(
            path / "metrics.jsonl", checksums.read_sealed(path / "result.json")["metrics_sha256"]
        )
    except checksums.Damaged as damage:
        raise Damaged(str(damage)) from damage


def with_checkpoint(cell: Cell, path: Path) -> Cell:
    """The cell with the share of the budget that it goes on from."""
    if cell.state is State.done or cell.budget is None:
        return cell
    return replace(cell, spent_at_checkpoint=spent_at_checkpoint(path, cell.budget))


def spent_at_checkpoint(path: Path, budget: Budget) -> float | None:
    """Share of the budget at the newest checkpoint with a usable state; None if there is none.

    Whether its tensors are intact is found when they are loaded.
    """
    for checkpoint in reversed(RunDir(path).complete_checkpoints()):
        try:
            state = checksums.read_sealed(checkpoint / "state.json")
            return min(1.0, spent(state, budget.axis) / budget.limit)
        except (checksums.Damaged, OSError, ValueError, KeyError, TypeError):
            continue  # being replaced by the run right now, or damaged
    return None


def spent(state: Record, axis: str) -> float:
    """What a checkpoint's run had spent."""
    if axis == "gpu_seconds":
        return float(state["seconds"])
    ledger = Ledger()
    ledger.load(state["ledger"])
    return ledger.spent(axis)
