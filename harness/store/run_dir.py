"""One cell's directory. What a run wrote here is the only truth about it.

config.json      the resolved configuration; its hash names the directory
metrics.jsonl    one line an iteration or evaluation; a function of the configuration alone
timing.jsonl     seconds and memory, beside the metrics so that those can be compared byte by byte
attempts.jsonl   one line an attempt: when, where, from which checkpoint, and what it has to do again
trajectories/P   some episodes of evaluation P (P.jsonl.gz, see docs/trajectory-format.md)
checkpoints/N/   everything needed to go on after iteration N; state.json is written last
result.json      written last of all: its presence means the run is complete
failure.json     why the last attempt failed
log.txt          what the attempts printed
lease.N          made by the process that runs the cell, see `harness.lease`
"""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.config.compose import to_plain
from harness.lease import Lease, held, take
from harness.store.files import (
    cut_lines,
    read_json,
    read_lines,
    sync_folder,
    write_atomically,
    write_json,
)

FORMAT = 3
"""Part of every cell's hash: raise it when the same configuration gives other numbers."""
KEPT_CHECKPOINTS = 2


class State(Enum):
    """Where a cell stands."""

    waiting = "waiting"
    running = "running"
    failed = "failed"
    done = "done"


@dataclass(frozen=True)
class Rewound:
    """Where a run goes on, and what it wrote after that point before it was interrupted."""

    checkpoint: Path | None
    metrics: list[dict[str, Any]]
    timing: list[dict[str, Any]]


def content_hash(content: Any) -> str:
    """SHA-256 of `content` as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def cell_id(config: RunConfig) -> str:
    """Readable name and content hash of a cell."""
    return cell_ids(config, [config.seed])[0]


def cell_ids(config: RunConfig, seeds: Iterable[int]) -> list[str]:
    """The names of the cells that differ from `config` in their seed at most."""
    plain, prefix = to_plain(config), cell_prefix(config)
    del plain["evaluation"]["record"]  # has no part in any other number
    contents = {seed: [FORMAT, config.env.version, {**plain, "seed": seed}] for seed in seeds}
    return [f"{prefix}{seed}-{content_hash(content)[:10]}" for seed, content in contents.items()]


def cell_prefix(config: RunConfig) -> str:
    """What a cell's name has before the seed."""
    return f"{config.algorithm.name}-{config.env.name}-{config.model.name}-s"


class RunDir:
    """The directory of one cell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.metrics = path / "metrics.jsonl"
        self.timing = path / "timing.jsonl"
        self.attempts = path / "attempts.jsonl"
        self.result = path / "result.json"
        self.failure = path / "failure.json"
        self.log = path / "log.txt"
        self.trajectories = path / "trajectories"
        self.checkpoints = path / "checkpoints"
        self._lease: Lease | None = None

    @classmethod
    def create(cls, out: Path, config: RunConfig) -> "RunDir":
        """The cell's directory under a sweep's, made if it isn't there."""
        run_dir = cls(out / "runs" / cell_id(config))
        run_dir.checkpoints.mkdir(parents=True, exist_ok=True)
        if not (run_dir.path / "config.json").exists():
            write_json(run_dir.path / "config.json", to_plain(config))
        return run_dir

    def state(self) -> State:
        """Where the cell stands, from what is on the disk and who holds the lease. Creates no file."""
        if self.result.exists():
            return State.done
        if held(self.path, time.time()):
            return State.running
        return State.failed if self.failure.exists() else State.waiting

    @contextlib.contextmanager
    def lease(self, lost: Callable[[], object]) -> Iterator[Lease | None]:
        """Hold the cell; None if another live process does. Without it, nothing may be written here.

        `lost` is called, in another thread, if this process was taken for dead and another one took over.
        """
        lease = take(self.path)
        if lease is None:
            yield None
            return
        self._lease = lease
        try:
            with lease.beating(lost):
                yield lease
        finally:
            self._lease = None
            lease.release()

    def check_lease(self) -> None:
        """Raise `LeaseLost` if this process held the cell and was taken for dead since."""
        if self._lease is not None:
            self._lease.check()

    def codes(self) -> set[str]:
        """Versions of the code that made what is here (see `harness.code_version`); empty: nothing is."""
        if not self.result.exists() and not self.complete_checkpoints():
            return set()
        attempts = read_lines(self.attempts.read_bytes()) if self.attempts.exists() else []
        anew = max((i for i, attempt in enumerate(attempts) if attempt["iteration"] == 0), default=0)
        return {str(attempt.get("code", "unknown")) for attempt in attempts[anew:]}

    def complete_checkpoints(self) -> list[Path]:
        """Checkpoints that were finished, oldest first."""
        found = [path for path in self.checkpoints.glob("[0-9]*") if (path / "state.json").exists()]
        return sorted(found, key=lambda path: int(path.name))

    def write_trajectories(self, point: int, content: bytes) -> None:
        """Keep the trajectory file of evaluation `point`."""
        self.trajectories.mkdir(exist_ok=True)
        write_atomically(self.trajectories / f"{point}.jsonl.gz", content)

    def drop_trajectories(self, points: int) -> None:
        """Keep the trajectory files of evaluations before `points`, and nothing else that is there."""
        kept = {f"{point}.jsonl.gz" for point in range(points)}
        for path in self.trajectories.glob("*"):
            if path.name not in kept:
                path.unlink()

    @contextlib.contextmanager
    def new_checkpoint(self, iteration: int, state: dict[str, Any]) -> Iterator[Path]:
        """A folder to write a checkpoint's tensors into; `state` and the file sizes are written last."""
        self.check_lease()
        temporary = self.checkpoints / f".{iteration}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        sizes = {path.name: path.stat().st_size for path in (self.metrics, self.timing) if path.exists()}
        write_json(temporary / "state.json", {**state, "sizes": sizes})
        final = self.checkpoints / str(iteration)
        remove_checkpoint(final)
        temporary.rename(final)
        sync_folder(self.checkpoints)
        for old in self.complete_checkpoints()[:-KEPT_CHECKPOINTS]:
            remove_checkpoint(old)

    def settled_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics that no resume takes back, safe to read while the cell runs.

        All of a finished run; else up to the newest complete checkpoint.
        """
        if self.result.exists():
            return read_lines(self.metrics.read_bytes())
        complete = self.complete_checkpoints()
        if not complete:
            return []
        with self.metrics.open("rb") as file:
            return read_lines(file.read(read_json(complete[-1] / "state.json")["sizes"][self.metrics.name]))

    def rewind(self) -> Rewound:
        """Cut metrics and timing back to the newest complete checkpoint."""
        complete = self.complete_checkpoints()
        sizes = read_json(complete[-1] / "state.json")["sizes"] if complete else {}
        cut = [cut_lines(path, sizes.get(path.name, 0)) for path in (self.metrics, self.timing)]
        return Rewound(complete[-1] if complete else None, *cut)


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint if it is there; half removed, it is none any more."""
    (folder / "state.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
