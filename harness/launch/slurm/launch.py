"""The verbs of `launcher=slurm`: submit what is due, follow what is alive, cancel it. None keeps a state."""

import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from harness.config import SlurmConfig
from harness.errors import UserError
from harness.launch.outcome import Outcome
from harness.launch.progress import Board, names_in
from harness.launch.slurm import cluster, sbatch, submission
from harness.launch.slurm.request import Request
from harness.launch.slurm.standing import Cell, Standing, stand, waiting
from harness.launch.slurm.submit import submit
from harness.lease import take

LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 5.0
"""Between two questions to SLURM, which may have many to answer."""
SILENT_SECONDS = 1800.0
"""How long SLURM may give no answer before following it is given up."""


class Busy(UserError):
    """Another command submits cells of this sweep."""


def launch(request: Request) -> Outcome:
    """Submit what is due; with `launcher.wait`, go on until nothing is alive any more."""
    cells = submit_due(request)
    owed = sum(cell.standing is not Standing.done for cell in cells)
    board = Board(len(cells), owed, names_in(request.out))
    teller = Teller(board, cells, request.launcher)
    if request.launcher.wait:
        with board.progress:
            try:
                cells = follow(request, cells, teller)
            except KeyboardInterrupt:
                print("\nthe jobs go on; cancel=true cancels them", end="", file=sys.stderr)
                raise
    teller.tell(cells)
    alive = sum(cell.standing is Standing.alive for cell in cells)
    done = sum(cell.standing is Standing.done for cell in cells)
    cancelled = sum(cell.standing is Standing.cancelled for cell in cells)
    if alive:
        board.say(waiting(cells))
    return Outcome(len(cells) - done - alive - cancelled, alive, cancelled)


def submit_due(request: Request, only: Collection[str] | None = None) -> list[Cell]:
    """Submit the cells that are due, or those among `only`; returns where all of them stand then.

    One command at a time does so.
    """
    request.records.mkdir(exist_ok=True)
    lease = take(request.records)
    if lease is None:
        raise Busy(f"another command submits the cells of {request.out} now: try again in a minute")
    try:
        cells = look(request)
        due = [cell for cell in cells if is_due(cell, request.launcher) and (only is None or cell.id in only)]
        if not due:
            return cells
        print(sbatch.shown(request.launcher))
        for each in submit(due, request):
            number = sum(map(len, each.tasks))
            noun = "cell" if number == 1 else "cells"
            print(f"submitted {number} {noun} as {each.title}; their logs: {request.records / each.name}")
        return look(request)
    finally:
        lease.release()


def is_due(cell: Cell, launcher: SlurmConfig) -> bool:
    """Whether the cell has to be submitted."""
    wanted = cell.standing not in (Standing.done, Standing.alive)
    return wanted and cell.attempts < launcher.max_attempts


def look(request: Request) -> list[Cell]:
    """Where the cells stand; raise `Unreachable` if SLURM, asked what is alive, does not answer."""
    submissions = submission.read_all(request.records)
    arrays = cluster.queue([each.name for each in submissions])
    for i, each in enumerate(submissions):
        if not each.job and each.name in arrays:  # sbatch's answer was lost
            submissions[i] = replace(each, job=arrays[each.name].job)
            submissions[i].save(request.records)
    return stand(request.configs, request.records, submissions, arrays)


def follow(request: Request, cells: list[Cell], teller: "Teller") -> list[Cell]:
    """Submit again what failed or got lost until nothing is due or alive; returns where the cells stand.

    What is cancelled meanwhile stays so, also when SLURM has forgotten it.
    """
    began = answered = time.monotonic()
    lost: set[str] = set()
    withdrawn: set[str] = set()
    while True:
        cells, withdrawn = without_cancelled(cells, withdrawn)
        teller.tell(cells)
        lost, before = {cell.id for cell in cells if cell.standing is Standing.lost}, lost
        # A cell is lost when it was so twice: a file server may show the end of a job before its last file.
        left_out = withdrawn | (lost - before)
        due = {cell.id for cell in cells if is_due(cell, request.launcher)} - left_out
        over = time.monotonic() - began > 3600 * request.launcher.wait_hours
        if over or not (due or lost - before or any(cell.standing is Standing.alive for cell in cells)):
            return cells
        if not due:
            rest(cells, pause(time.monotonic() - began))
        try:
            cells = submit_due(request, due) if due else look(request)
            answered = time.monotonic()
        except (Busy, cluster.Unreachable) as error:
            teller.board.say(str(error))
            if time.monotonic() - answered > SILENT_SECONDS:
                raise
            time.sleep(LEAST_PAUSE_SECONDS)


def without_cancelled(cells: Sequence[Cell], withdrawn: set[str]) -> tuple[list[Cell], set[str]]:
    """The cells, those cancelled before (`withdrawn`) and not begun again still so; who is cancelled now."""
    over = (Standing.done, Standing.alive)
    now = {
        cell.id
        for cell in cells
        if cell.standing is Standing.cancelled or (cell.id in withdrawn and cell.standing not in over)
    }
    return [replace(cell, standing=Standing.cancelled) if cell.id in now else cell for cell in cells], now


def pause(seconds: float) -> float:
    """Until SLURM is asked again after following jobs this long: the end of short ones is seen soon."""
    return min(MOST_PAUSE_SECONDS, max(LEAST_PAUSE_SECONDS, seconds / 20))


def rest(cells: Sequence[Cell], seconds: float) -> None:
    """Wait this long, but no longer than until all that were alive are done: looking for files is cheap."""
    until = time.monotonic() + seconds
    alive = [cell.run_dir.result for cell in cells if cell.standing is Standing.alive]
    while time.monotonic() < until:
        time.sleep(LEAST_PAUSE_SECONDS)
        if alive and all(result.exists() for result in alive):
            return


class Teller:
    """Tells what has become of cells since it last did."""

    def __init__(self, board: Board, cells: Sequence[Cell], launcher: SlurmConfig) -> None:
        self.board, self.launcher = board, launcher
        self._told = {cell.id: about(cell) for cell in cells if cell.standing is Standing.done}

    def tell(self, cells: Sequence[Cell]) -> None:
        """Print a line for each cell that is done, was cancelled, or failed once more."""
        self.board.show(waiting(cells))
        for cell in cells:
            if self._told.get(cell.id) == about(cell):
                continue
            self._told[cell.id] = about(cell)
            if cell.standing is Standing.done:
                self.board.done(cell.config, cell.run_dir)
            elif cell.standing is Standing.cancelled:
                left = "not submitted again before the next command"
                self.board.say(f"{self.board.title(cell.config)}: {cell.reason}; {left}")
            elif cell.standing in (Standing.failed, Standing.lost):
                self._failed(cell)

    def _failed(self, cell: Cell) -> None:
        most = self.launcher.max_attempts
        tried = f"attempt {cell.attempts} of {most}" if cell.attempts else f"it got on: no attempt of {most}"
        if is_due(cell, self.launcher):
            self.board.say(f"{self.board.title(cell.config)}: {cell.reason} ({tried})")
        else:
            self.board.failed(cell.config, cell.run_dir, f"{cell.reason} ({tried})")


def about(cell: Cell) -> tuple[Standing, int]:
    """What a cell's line tells: where it stands after how many jobs."""
    return cell.standing, len(cell.turns)


def cancel(out: Path) -> int:
    """Cancel the sweep's jobs; returns how many there were."""
    submissions = submission.read_all(out / "slurm")
    number = cluster.cancel([each.name for each in submissions])
    for each in submissions:
        submission.cancelled(each).save(out / "slurm")
    return number
