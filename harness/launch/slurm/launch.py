"""The verbs of `launcher=slurm`: submit what is due, follow what is alive, cancel it. None keeps a state."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig, SlurmConfig
from harness.errors import UserError
from harness.launch.outcome import Outcome
from harness.launch.progress import Board, title
from harness.launch.slurm import cluster, submission
from harness.launch.slurm.standing import Cell, Standing, stand
from harness.lease import take

LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 5.0
"""Between two questions to SLURM, which may have many to answer."""
SILENT_SECONDS = 1800.0
"""How long SLURM may give no answer before following it is given up."""


@dataclass(frozen=True)
class Request:
    """What a command wants run."""

    configs: Sequence[RunConfig]
    codes: Mapping[str, str]
    """By cell, the version of the code that must run it."""
    sweep: str
    """The sweep's name."""
    out: Path
    launcher: SlurmConfig


class SlurmSilent(UserError):
    """SLURM does not say what is alive, so nothing can be done."""


def launch(request: Request) -> Outcome:
    """Submit what is due; with `launcher.wait`, go on until nothing is alive any more."""
    cells = submit_due(request)
    board = Board(len(cells), sum(cell.standing is not Standing.done for cell in cells))
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
    return Outcome(alive=alive, failures=len(cells) - done - alive)


def submit_due(request: Request) -> list[Cell]:
    """Submit the cells that are due; returns where all of them stand then. One command at a time does so."""
    from harness.launch.slurm.submit import sbatch_text, submit

    folder = request.out / "slurm"
    folder.mkdir(exist_ok=True)
    lease = take(folder)
    if lease is None:
        raise UserError(f"another command submits the cells of {request.out} now: try again in a minute")
    try:
        cells = look(request)
        due = [cell for cell in cells if is_due(cell, request.launcher)]
        if not due:
            return cells
        print(sbatch_text(request.launcher))
        for each in submit(due, request.sweep, request.out, request.launcher, request.codes):
            number = sum(map(len, each.tasks))
            noun = "cell" if number == 1 else "cells"
            print(f"submitted {number} {noun} as {each.title}; their logs: {folder / each.name}")
        return look(request)
    finally:
        lease.release()


def is_due(cell: Cell, launcher: SlurmConfig) -> bool:
    """Whether the cell has to be submitted."""
    wanted = cell.standing in (Standing.new, Standing.failed, Standing.lost)
    return wanted and cell.attempts < launcher.max_attempts


def look(request: Request) -> list[Cell]:
    """Where the cells stand; raise `SlurmSilent` where SLURM, asked what is alive, does not answer."""
    submissions = submission.read_all(request.out / "slurm")
    try:
        return stand(
            request.configs, request.out, submissions, cluster.alive([each.name for each in submissions])
        )
    except cluster.Unreachable as error:
        raise SlurmSilent(
            f"SLURM does not say which jobs are alive ({error}): nothing is submitted until it does"
        ) from error


def follow(request: Request, cells: list[Cell], teller: "Teller") -> list[Cell]:
    """Submit again what failed or got lost until nothing is due or alive; returns where the cells stand."""
    began = answered = time.monotonic()
    lost: set[str] = set()
    while True:
        teller.tell(cells)
        lost, before = {cell.id for cell in cells if cell.standing is Standing.lost}, lost
        # A cell is lost when it was so twice: a file server may show the end of a job before its last file.
        due = [cell for cell in cells if is_due(cell, request.launcher) and cell.id not in lost - before]
        over = time.monotonic() - began > 3600 * request.launcher.wait_hours
        if over or not (due or lost - before or any(cell.standing is Standing.alive for cell in cells)):
            return cells
        if due:
            cells = submit_due(request)
            continue
        rest(cells, pause(time.monotonic() - began))
        try:
            cells, answered = look(request), time.monotonic()
        except SlurmSilent as error:
            teller.board.say(str(error))
            if time.monotonic() - answered > SILENT_SECONDS:
                raise


def pause(seconds: float) -> float:
    """Until SLURM is asked again after following jobs for so long: the end of short ones is seen soon."""
    return min(MOST_PAUSE_SECONDS, max(LEAST_PAUSE_SECONDS, seconds / 20))


def rest(cells: Sequence[Cell], seconds: float) -> None:
    """Wait so long, but no longer than until all that were alive are done: looking for files is cheap."""
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
        done = (cell for cell in cells if cell.standing is Standing.done)
        self._told = {cell.id: (cell.standing, cell.attempts) for cell in done}

    def tell(self, cells: Sequence[Cell]) -> None:
        """Print a line for each cell that is done, or failed once more."""
        alive = sum(cell.standing is Standing.alive for cell in cells)
        self.board.show(f"{alive} waiting or running")
        for cell in cells:
            if self._told.get(cell.id) == (cell.standing, cell.attempts):
                continue
            self._told[cell.id] = (cell.standing, cell.attempts)
            if cell.standing is Standing.done:
                self.board.done(cell.config, cell.run_dir)
            elif cell.standing in (Standing.failed, Standing.lost):
                self._failed(cell)

    def _failed(self, cell: Cell) -> None:
        tried = f"attempt {cell.attempts} of {self.launcher.max_attempts}"
        if is_due(cell, self.launcher):
            self.board.say(f"{title(cell.config)}: {cell.reason} ({tried})")
        else:
            self.board.failed(cell.config, cell.run_dir, f"{cell.reason} ({tried})")


def cancel(out: Path) -> int:
    """Cancel the sweep's jobs; returns how many there were."""
    submissions = submission.read_all(out / "slurm")
    try:
        number = cluster.cancel([each.name for each in submissions])
    except cluster.Unreachable as error:
        raise SlurmSilent(f"SLURM can't be told to cancel ({error}): try again later") from error
    for each in submissions:
        submission.cancelled(each).save(out / "slurm")
    return number
