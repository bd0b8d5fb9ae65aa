"""What one job of an array does: its cells, in worker processes, as `launcher=local` runs them.

SLURM sends SIGUSR2 some time before it ends or preempts a job: the cells write checkpoints and the job puts
itself back into the queue. SIGTERM (scancel, or a preemption without warning) has checkpoints written too;
what becomes of the job is SLURM's affair then.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from harness.config import RunConfig, SlurmConfig
from harness.config.plain import launcher_config, run_config
from harness.launch.failure import note_failure
from harness.launch.local import run_cells
from harness.launch.slurm.cluster import Unreachable, ask
from harness.launch.slurm.start import WARNINGS
from harness.launch.slurm.turns import fruitless_turns, note_fruitless, reached
from harness.lease import STALE_SECONDS
from harness.reading.cell import Kind, State
from harness.reading.whole import stand
from harness.store import RunDir, cell_id, write_atomically

PATIENCE_SECONDS = 2 * STALE_SECONDS
"""A cell that another process holds for longer has a live holder: the job leaves it alone."""
JOBS = "jobs.jsonl"
"""A line for each job of the array, in the array's folder."""


class Told(BaseException):
    """A signal says that the job is about to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class Job:
    """The cells of one job."""

    out: str
    configs: tuple[dict[str, Any], ...]
    """The cells' configurations, as plain data."""
    codes: dict[str, str]
    """By cell, the version of the code that must run it."""
    launcher: SlurmConfig

    def run(self, folder: Path, index: int) -> int:
        """Run the cells that are not done; returns the exit code, so that SLURM knows of failures as well.

        `folder`: the array's; `index`: the job's in it.
        """
        configs = [run_config(plain) for plain in self.configs]
        before = {config: reached(self._run_dir(config)) for config in configs}
        try:
            for number in WARNINGS:
                signal.signal(number, tell)
            # What came while this process was starting is told now.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, WARNINGS)
            at_once = self.launcher.runs_per_gpu
            failures = run_cells(
                configs, Path(self.out), self.launcher, at_once, self.codes, PATIENCE_SECONDS
            )
        except Told as told:
            if told.number == signal.SIGUSR2:
                self._queue_again(before, folder, index)
            return 128 + told.number
        if failures:
            print(f"{failures} of {len(configs)} cells failed, see above", file=sys.stderr)
        return 1 if failures else 0

    def _queue_again(self, before: dict[RunConfig, int], folder: Path, index: int) -> None:
        """Put the job back into the queue, unless it was there too often without getting anywhere.

        `before`: by cell, where its newest checkpoint was when this turn began.
        """
        left = [config for config in before if stand(self._run_dir(config).path).state is not State.done]
        got_on = len(left) < len(before) or any(
            reached(self._run_dir(config)) > before[config] for config in left
        )
        fruitless = 0 if got_on else fruitless_turns(folder, index) + 1
        note_fruitless(folder, index, fruitless)
        if fruitless >= self.launcher.max_attempts:
            reason = (
                f"told to end {fruitless} times before there was a newer checkpoint: raise launcher.minutes, "
                "lower batch.trajectories, or choose a partition that preempts less"
            )
            for config in left:
                note_failure(self._run_dir(config), reason, Kind.infrastructure)
            print(reason, file=sys.stderr)
        elif left:
            print("told to end: checkpoints are written, back into the queue", file=sys.stderr, flush=True)
            try:
                ask("scontrol", "requeue", os.environ["SLURM_JOB_ID"])
            except Unreachable as error:
                print(f"SLURM refuses ({error.reason}): the sweep's command goes on", file=sys.stderr)

    def _run_dir(self, config: RunConfig) -> RunDir:
        return RunDir(Path(self.out) / "runs" / cell_id(config))


def write_jobs(folder: Path, jobs: Sequence[Job]) -> None:
    """Write what the jobs of an array have to do into its folder, for `read_job`."""
    lines = [json.dumps(asdict(job)) + "\n" for job in jobs]
    write_atomically(folder / JOBS, "".join(lines).encode())


def read_job(folder: Path, index: int) -> Job:
    """A job of the array."""
    with (folder / JOBS).open() as lines:
        plain = json.loads(next(islice(lines, index, None)))
    launcher = launcher_config(plain["launcher"])
    assert isinstance(launcher, SlurmConfig)
    return Job(plain["out"], tuple(plain["configs"]), plain["codes"], launcher)


def tell(number: int, _: object) -> NoReturn:
    """Raise `Told`, once: another signal must not cut the checkpoints short."""
    for each in WARNINGS:
        signal.signal(each, signal.SIG_IGN)
    raise Told(number)
