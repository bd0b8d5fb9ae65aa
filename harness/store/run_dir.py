"""One cell's directory. What a run wrote here is the only truth about it.

config.json      the resolved configuration; its hash names the directory
inputs.json      SHA-256 of what is read besides it (a model's files, games), if anything is
metrics.jsonl    one line per iteration or evaluation; a function of the configuration alone
timing.jsonl     seconds and memory, beside the metrics so that those can be compared byte by byte
attempts.jsonl   one line per attempt: when, where, from which checkpoint, and what it has to do again
trajectories/P   some episodes of evaluation P (P.jsonl.gz, see docs/trajectory-format.md)
checkpoints/N/   everything needed to go on after iteration N; state.json is written last, with the checksums
                 of the folder's other files and of the metrics and timing up to there
result.json      written last of all: its presence means the run is complete; with the metrics' checksum
failure.json     why the last attempt failed
log.txt          what the attempts printed
lease.N          made by the process that runs the cell, see `harness.lease`
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.config.plain import to_plain
from harness.errors import UserError
from harness.lease import Lease, take
from harness.store.checksums import (
    Damaged,
    compare,
    content_hash,
    file_hash,
    head_hash,
    read_sealed,
    write_sealed,
)
from harness.store.files import (
    cut_lines,
    make_folder,
    mend_lines,
    read_json,
    read_lines,
    remove_temporaries,
    sync_folder,
    whole_lines,
    write_atomically,
    write_json,
)

FORMAT = 4
"""Part of every cell's hash: raise it when the same configuration gives other numbers."""
KEPT_CHECKPOINTS = 2


@dataclass(frozen=True)
class Rewound:
    """Where a run goes on, and what it wrote after that point before it was interrupted."""

    checkpoint: Path | None
    metrics: list[dict[str, Any]]
    timing: list[dict[str, Any]]
    damages: list[str]
    """A line for each newer checkpoint that could not be used: what is wrong, and what is done instead."""


def cell_id(config: RunConfig) -> str:
    """Readable name and content hash of a cell."""
    return cell_ids(config, [config.seed])[0]


def cell_ids(config: RunConfig, seeds: Iterable[int]) -> list[str]:
    """The names of the cells that differ from `config` in their seed at most."""
    plain, prefix = named(to_plain(config)), cell_prefix(config)
    contents = {seed: [FORMAT, config.env.version, {**plain, "seed": seed}] for seed in seeds}
    return [f"{prefix}{seed}-{content_hash(content)[:10]}" for seed, content in contents.items()]


def named(plain: dict[str, Any]) -> dict[str, Any]:
    """What a cell's name is a hash of: all of a configuration that has a part in a number."""
    evaluation = {name: value for name, value in plain["evaluation"].items() if name != "record"}
    return {**plain, "evaluation": evaluation}


def cell_prefix(config: RunConfig) -> str:
    """What a cell's name has before the seed."""
    return f"{config.algorithm.name}-{config.env.name}-{config.model.name}-s"


class RunDir:
    """The directory of one cell."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inputs = path / "inputs.json"
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
        """The cell's directory under a sweep's, made if it isn't there, with the configuration in it."""
        run_dir = cls(out / "runs" / cell_id(config))
        for folder in (out, run_dir.path.parent, run_dir.path, run_dir.checkpoints):
            make_folder(folder)
        if not run_dir.is_of(config):
            write_json(run_dir.path / "config.json", to_plain(config))
        return run_dir

    def is_of(self, config: RunConfig) -> bool:
        """Whether the configuration in the directory is this one, up to what a cell's name leaves out."""
        try:
            found = read_json(self.path / "config.json")
            return bool(named(found) == named(to_plain(config)))
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return False

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

    def changed_inputs(self, inputs: Mapping[str, str]) -> list[str]:
        """Names of what a cell has read that has another content now; none if nothing was made yet."""
        if not self.inputs.exists() or not self._begun():
            return []
        try:
            noted = read_sealed(self.inputs)
        except Damaged as damage:
            print(f"what the cell has read is not known any more ({damage})")
            return []
        return [name for name, content in inputs.items() if noted.get(name, content) != content]

    def note_inputs(self, inputs: Mapping[str, str]) -> None:
        """Note what the cell reads; raise `UserError` if it has begun with other contents."""
        refuse_changed(self.changed_inputs(inputs), self.path.name)
        if inputs:
            write_sealed(self.inputs, dict(inputs))

    def _begun(self) -> bool:
        return self.result.exists() or bool(self.complete_checkpoints())

    def codes(self) -> set[str]:
        """Versions of the code that made what is here (see `harness.code_version`); empty: nothing is."""
        if not self._begun():
            return set()
        attempts = whole_lines(self.attempts.read_bytes()) if self.attempts.exists() else []
        anew = max((i for i, attempt in enumerate(attempts) if attempt.get("iteration") == 0), default=0)
        return {str(attempt.get("code", "unknown")) for attempt in attempts[anew:]}

    def complete_checkpoints(self) -> list[Path]:
        """Checkpoints that were finished, oldest first."""
        found = [path for path in self.checkpoints.glob("[0-9]*") if (path / "state.json").exists()]
        return sorted(found, key=lambda path: int(path.name))

    def write_trajectories(self, point: int, content: bytes) -> None:
        """Keep the trajectory file of evaluation `point`."""
        make_folder(self.trajectories)
        write_atomically(self.trajectories / f"{point}.jsonl.gz", content)

    def drop_trajectories(self, points: int) -> None:
        """Keep the trajectory files of evaluations before `points`, and nothing else that is there."""
        kept = {f"{point}.jsonl.gz" for point in range(points)}
        for path in self.trajectories.glob("*"):
            if path.name not in kept:
                path.unlink()

    @contextlib.contextmanager
    def new_checkpoint(self, iteration: int, state: dict[str, Any]) -> Iterator[Path]:
        """A folder to write a checkpoint's tensors into; `state` and all checksums are written last."""
        self.check_lease()
        temporary = self.checkpoints / f".{iteration}.tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        try:
            yield temporary
            write_sealed(temporary / "state.json", {**state, **self._sums(temporary)})
        except BaseException:
            # On a full disk, its room is needed to write down why the attempt failed.
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        final, replaced = self.checkpoints / str(iteration), self.checkpoints / f".{iteration}.old.tmp"
        if final.exists():
            final.rename(replaced)
        temporary.rename(final)
        sync_folder(self.checkpoints)
        shutil.rmtree(replaced, ignore_errors=True)
        for old in self.complete_checkpoints()[:-KEPT_CHECKPOINTS]:
            remove_checkpoint(old)

    def _sums(self, checkpoint: Path) -> dict[str, dict[str, Any]]:
        """Sizes of metrics and timing; SHA-256 of those, and of the files in the checkpoint's folder."""
        sizes = {path.name: path.stat().st_size for path in (self.metrics, self.timing) if path.exists()}
        sums = {path.name: file_hash(path) for path in checkpoint.iterdir()}
        sums |= {name: head_hash(self.path / name, size) for name, size in sizes.items()}
        return {"sizes": sizes, "sha256": sums}

    def check(self, checkpoint: Path) -> dict[str, int]:
        """Sizes of metrics and timing at a checkpoint; raise `Damaged` unless it and they are intact."""
        state = read_sealed(checkpoint / "state.json")
        sizes: dict[str, int] = state["sizes"]
        for name, expected in state["sha256"].items():
            size = sizes.get(name)
            compare((checkpoint if size is None else self.path) / name, expected, size)
        return sizes

    def settled_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics that no resume takes back, safe to read while the cell runs.

        All of a finished run; else up to the newest complete checkpoint. Raises `Damaged`.
        """
        if self.result.exists():
            return read_lines(self.metrics.read_bytes())
        complete = self.complete_checkpoints()
        if not complete:
            return []
        state, name = read_sealed(complete[-1] / "state.json"), self.metrics.name
        if name not in state["sizes"]:
            return []
        compare(self.metrics, state["sha256"][name], state["sizes"][name])
        with self.metrics.open("rb") as file:
            return read_lines(file.read(state["sizes"][name]))

    def rewind(self) -> Rewound:
        """Cut metrics and timing to the newest intact checkpoint; remove what is damaged or unfinished."""
        intact, sizes, damaged = self._newest_intact()
        then = f"going on from checkpoint {intact.name}" if intact else "none is intact, starting afresh"
        whole = [path for path in self.complete_checkpoints() if path not in damaged]
        for folder in [path for path in self.checkpoints.iterdir() if path.is_dir()]:
            if folder not in whole[-KEPT_CHECKPOINTS:]:
                remove_checkpoint(folder)
        for written in (self.result, self.failure, self.attempts):
            remove_temporaries(written)
        metrics, timing = (cut_lines(path, sizes.get(path.name, 0)) for path in (self.metrics, self.timing))
        mend_lines(self.attempts)
        damages = [f"checkpoint {path.name} is damaged ({why}): {then}" for path, why in damaged.items()]
        return Rewound(intact, metrics, timing, damages)

    def _newest_intact(self) -> tuple[Path | None, dict[str, int], dict[Path, str]]:
        """The newest intact checkpoint, its sizes of metrics and timing, and what newer ones suffer from."""
        damaged: dict[Path, str] = {}
        for checkpoint in reversed(self.complete_checkpoints()):
            try:
                return checkpoint, self.check(checkpoint), damaged
            except Damaged as damage:
                damaged[checkpoint] = str(damage)
        return None, {}, damaged


def refuse_changed(names: Iterable[str], cell: str) -> None:
    """Raise `UserError` if something has changed since `cell` read it."""
    if changed := ", ".join(names):
        raise UserError(
            f"the files of {changed} have changed since {cell} read them: bring them back, or set "
            "sweep.out=DIR for a new store"
        )


def remove_checkpoint(folder: Path) -> None:
    """Remove a checkpoint if it is there; half removed, it is none any more."""
    (folder / "state.json").unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
