"""What a sweep is going to do and to cost: its cells, where they stand, compute, hours and disk.

Reads the store and creates nothing. An arm here is a set of cells that differ in nothing but their seeds, so
there is one for each environment.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.cells import CELL
from harness.config import Launcher, RunConfig, SweepConfig
from harness.distrust import Damaged
from harness.errors import UserError
from harness.planning.disk import FLOAT, cell_bytes, checkpoint_bytes, weights
from harness.planning.labels import Label, labels
from harness.planning.predict import Iteration, predict
from harness.reading.cell import Cell, State, seconds, unstarted
from harness.reading.whole import stand, with_checkpoint
from harness.store.run_dir import cell_ids, cell_prefix

SAMPLE = 8
"""Finished cells of an arm whose seconds are read."""


@dataclass(frozen=True)
class Arm:
    """Cells that differ in nothing but their seeds, and what one of them takes."""

    name: str
    config: RunConfig
    """The first cell's."""
    cells: tuple[Cell, ...]
    most: Iteration
    """The most that an iteration spends."""
    flops: float
    """What the budget pays for, by the ratio of an iteration's FLOPs to what it spends."""
    seconds: float
    """What a cell takes from start to end."""
    measured: int
    """How many finished cells `seconds` is the mean of; 0: it is `flops` at the launcher's rate."""
    disk: int
    """Bytes that a cell holds in the end."""

    @property
    def iterations(self) -> int | None:
        """Iterations that the budget pays for at least; None on an axis of which nothing is known."""
        spent = self.most.on(self.config.budget.axis)
        return int(self.config.budget.limit / spent) if spent else None

    @property
    def rows(self) -> int:
        """The most step rows in an optimiser step."""
        config = self.config
        tasks = config.tasks_per_iteration // config.batch.minibatches
        return tasks * config.algorithm.plan().trajectories * config.env.horizon

    @property
    def seconds_left(self) -> float:
        """Of all cells that are not done."""
        return self.seconds * sum(cell.left for cell in self.cells)

    @property
    def unfinished(self) -> int:
        """Cells that are not done."""
        return sum(cell.state is not State.done for cell in self.cells)


@dataclass(frozen=True)
class Plan:
    """A sweep's arms, and how they are run."""

    sweep: SweepConfig
    arms: tuple[Arm, ...]
    workers: int
    rate: float
    """FLOPs per second that a worker is assumed to do if nothing was measured."""

    @property
    def cells(self) -> list[Cell]:
        """All cells, arm by arm."""
        return [cell for arm in self.arms for cell in arm.cells]

    @property
    def unfinished(self) -> int:
        """Cells that are not done."""
        return sum(arm.unfinished for arm in self.arms)

    @property
    def seconds(self) -> float:
        """Until the last cell ends, the workers always busy."""
        longest = max(arm.seconds * cell.left for arm in self.arms for cell in arm.cells)
        return max(longest, sum(arm.seconds_left for arm in self.arms) / self.workers)

    @property
    def disk(self) -> int:
        """Bytes that the cells to be run, and their warm starts, take at most.

        A checkpoint is whole before the oldest goes: each worker needs room for one more.
        """
        cells = sum(arm.unfinished * arm.disk for arm in self.arms)
        more = self.workers * max(checkpoint_bytes(arm.config) for arm in self.arms)
        starts = {
            (arm.config.env, arm.config.model): weights(arm.config) * FLOAT
            for arm in self.arms
            if arm.config.model.clone_updates
        }
        return cells + more + len(self.sweep.seeds) * sum(starts.values()) if cells else 0


def plan(sweep: SweepConfig, launcher: Launcher, configs: Sequence[RunConfig]) -> Plan:
    """The plan of a sweep with these cells."""
    out = Path(sweep.out) / "runs"
    stored = stored_seeds(out)
    arms: dict[Label, list[RunConfig]] = defaultdict(list)
    for label, config in zip(labels(sweep, configs), configs, strict=True):
        arms[label].append(config)
    found = tuple(
        arm(
            f"{label.arm} ({label.environment})" if sweep.envs else label.arm,
            members,
            out,
            stored[cell_prefix(members[0])],
            launcher.flops_per_second,
        )
        for label, members in arms.items()
    )
    return Plan(sweep, found, min(launcher.at_once, len(configs)), launcher.flops_per_second)


def arm(name: str, configs: Sequence[RunConfig], out: Path, stored: Mapping[str, int], rate: float) -> Arm:
    """The arm of these cells; `stored`: names of cells in the store that may be of it, each with its seed."""
    config, budget = configs[0], configs[0].budget
    most = predict(config)
    spent = most.on(budget.axis)
    flops = budget.limit * (most.flops / spent if spent else rate)
    seeds = sorted({each.seed for each in configs} | set(stored.values()))
    names = dict(zip(seeds, cell_ids(config, seeds), strict=True))
    seconds = measure([out / name for name in names.values() if name in stored])
    # An episode of one step spends about 1/horizon of what the longest does: no run has more iterations.
    lines = flops / most.flops * config.env.horizon + config.evaluation.points + 1
    return Arm(
        name=name,
        config=config,
        cells=tuple(
            standing(out / name) if name in stored else unstarted(name)
            for name in (names[each.seed] for each in configs)
        ),
        most=most,
        flops=flops,
        seconds=sum(seconds) / len(seconds) if seconds else flops / rate,
        measured=len(seconds),
        disk=cell_bytes(config, lines),
    )


def stored_seeds(out: Path) -> defaultdict[str, dict[str, int]]:
    """The cells in a folder: by what stands before the seed in their names, each name with its seed."""
    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name in os.listdir(out) if out.is_dir() else ():
        if named := CELL.fullmatch(name):
            found[name[: named.start("seed")]][name] = int(named["seed"])
    return found


def standing(path: Path) -> Cell:
    """Where a cell stands that the store has, and what it goes on from."""
    return with_checkpoint(stand(path), path)


def measure(cells: Iterable[Path]) -> list[float]:
    """The seconds of the first of these cells that are finished."""
    done = (path for path in cells if (path / "result.json").exists())
    return [found for path in islice(done, SAMPLE) if (found := recorded_seconds(path))]


def recorded_seconds(path: Path) -> float | None:
    """What a finished cell took, evaluations included; None if its times can't be read."""
    try:
        return seconds(str(path))
    except (Damaged, OSError):
        return None


def check_disk(planned: Plan) -> None:
    """Raise `UserError` if the disk has less room than the cells take."""
    out = Path(planned.sweep.out)
    free = shutil.disk_usage(existing_folder(out)).free
    if planned.disk > free:
        raise UserError(
            f"sweep.out={out} has {free / 1e9:.3g} GB free, {planned.unfinished} cells can take "
            f"{planned.disk / 1e9:.3g} GB: set sweep.out to another disk, or run fewer"
        )


def existing_folder(path: Path) -> Path:
    """The path itself, or the nearest folder above that exists."""
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
