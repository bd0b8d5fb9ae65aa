"""A store's copy in one tracker, kept up to date by repeated passes."""

import secrets
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from harness.config import Tracker
from harness.lease import Lease, LeaseLost, take
from harness.store import RunDir, read_json, write_json
from harness.tracker.opening import open_writer
from harness.tracker.points import read_points
from harness.tracker.writer import Copied, Writer


def mirror_folder(store: Path, tracker: Tracker) -> Path:
    """Where the tracker's files, the mirror's state and its log are."""
    return store / "trackers" / tracker.value


class Mirror:
    """Copies what is settled and not yet copied.

    How far a cell is copied is asked from the tracker. The mirror itself remembers only which cells are
    finished, and an id that keeps its runs apart from the same cells of another store.
    """

    def __init__(self, store: Path, tracker: Tracker) -> None:
        self.store, self.tracker = store, tracker
        self.folder = mirror_folder(store, tracker)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lease: Lease | None = None
        self._holding = ExitStack()
        self._id = ""
        self._finished: list[str] = []
        self._open: dict[str, Writer] = {}

    def run(self, stopped: Callable[[], bool]) -> list[str]:
        """Copy until `stopped`, and once more; returns what could not be copied, a line per cell."""
        while not stopped():
            self.copy()
        problems = self.copy()
        for name in list(self._open):
            problems += self._attempt(self._leave, name)
        self._holding.close()
        return problems

    def copy(self) -> list[str]:
        """One pass over all cells. A cell that can't be copied does not stop the others."""
        if not self._hold():
            return ["another process copies this store"]
        problems = []
        for name in sorted(path.parent.name for path in self.store.glob("runs/*/config.json")):
            if name not in self._finished:
                problems += self._attempt(self._copy_cell, name)
        return problems

    def _attempt(self, action: Callable[[str], None], name: str) -> list[str]:
        """What went wrong with a cell, whose writer is then left alone: the next pass opens another."""
        try:
            action(name)
        except Exception as error:
            traceback.print_exc()
            self._open.pop(name, None)
            return [f"{name}: {type(error).__name__}: {' '.join(str(error).split())}"]
        return []

    def _copy_cell(self, name: str) -> None:
        run_dir = RunDir(self.store / "runs" / name)
        points, finished = read_points(run_dir)
        if not points:
            return
        if name not in self._open:
            config = read_json(run_dir.path / "config.json")
            cell = Copied(name, f"{name}-{self._id}", self.store.resolve().name, config, self.folder)
            self._open[name] = open_writer(self.tracker, cell)
        writer = self._open[name]
        assert self._lease is not None
        self._lease.check()
        if new := [point for point in points if point.iteration > writer.sent]:
            writer.write(new)
            writer.sent = new[-1].iteration
        if finished:
            self._open.pop(name).close(finished=True)
            self._finished.append(name)
            self._save()

    def _leave(self, name: str) -> None:
        self._open.pop(name).close(finished=False)

    def _hold(self) -> bool:
        """Try to become the store's only mirror in this tracker, until the process ends; whether it is."""
        if self._lease is not None:
            try:
                self._lease.check()
                return True
            except LeaseLost:  # suspended for long and replaced: what is known here is out of date
                self._holding.close()
                self._open.clear()
        self._lease = take(self.folder)
        if self._lease is None:
            return False
        self._holding.callback(self._lease.release)
        self._holding.enter_context(self._lease.beating(lost=lambda: None))  # it looks before it writes
        self._remember()
        return True

    def _remember(self) -> None:
        """What earlier mirrors of this store noted."""
        if self._state.exists():
            state = read_json(self._state)
            self._id, self._finished = state["id"], state["finished"]
        else:
            self._id = secrets.token_hex(4)
            self._save()

    @property
    def _state(self) -> Path:
        return self.folder / "mirror.json"

    def _save(self) -> None:
        write_json(self._state, {"id": self._id, "finished": self._finished})
