"""What one job of an array does: its cells, in worker processes, as `launcher=local` runs them.

SLURM sends SIGUSR2 some time before it ends or preempts a job: the cells write checkpoints and the job puts
itself back into the queue. SIGTERM (scancel, or a preemption without warning) has checkpoints written too;
what becomes of the job is SLURM's affair then.
"""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from harness.config import RunConfig, SlurmConfig
from harness.config.plain import run_config
from harness.launch.failure import note_failure
from harness.launch.local import run_cells
from harness.launch.slurm.cluster import ask
from harness.lease import STALE_SECONDS
from harness.reading.cell import Kind, State
from harness.reading.whole import stand
from harness.store import RunDir, cell_id

PATIENCE_SECONDS = 2 * STALE_SECONDS
"""A cell that another process holds for longer has a live holder: the job leaves it alone."""


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

    def run(self) -> None:
        """Run the cells that are not done; raise RuntimeError if some failed, so that SLURM knows as well."""
        began = time.monotonic()
        configs = [run_config(plain) for plain in self.configs]
        before = {config: newest_checkpoint(self._run_dir(config)) for config in configs}
        try:
            for number in (signal.SIGUSR2, signal.SIGTERM):
                signal.signal(number, tell)
            at_once = self.launcher.runs_per_gpu
            failures = run_cells(
                configs, Path(self.out), self.launcher, at_once, self.codes, PATIENCE_SECONDS
            )
        except Told as told:
            if told.number == signal.SIGUSR2:
                self._queue_again(configs, before, time.monotonic() - began)
            sys.exit(128 + told.number)
        if failures:
            raise RuntimeError(f"{failures} of {len(configs)} cells failed, see above")

    def _queue_again(
        self, configs: list[RunConfig], before: dict[RunConfig, str | None], seconds: float
    ) -> None:
        """Put the job back into the queue, unless its time is too short to get anywhere."""
        left = [config for config in configs if stand(self._run_dir(config).path).state is not State.done]
        got_on = len(left) < len(configs) or any(
            newest_checkpoint(self._run_dir(config)) != before[config] for config in left
        )
        limit = 60 * self.launcher.minutes - self.launcher.grace_seconds
        if not got_on and seconds > 0.8 * limit:
            reason = (
                f"launcher.minutes={self.launcher.minutes} is too short for one checkpoint: raise it, "
                "or lower batch.trajectories"
            )
            for config in left:
                note_failure(self._run_dir(config), reason, Kind.infrastructure)
            print(reason, file=sys.stderr)
        elif left:
            print("told to end: checkpoints are written, back into the queue", file=sys.stderr, flush=True)
            ask("scontrol", "requeue", os.environ["SLURM_JOB_ID"])

    def _run_dir(self, config: RunConfig) -> RunDir:
        return RunDir(Path(self.out) / "runs" / cell_id(config))


def tell(number: int, _: object) -> NoReturn:
    """Raise `Told`, once: another signal must not cut the checkpoints short."""
    for each in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Told(number)


def newest_checkpoint(run_dir: RunDir) -> str | None:
    """The name of a cell's newest complete checkpoint."""
    complete = run_dir.complete_checkpoints()
    return complete[-1].name if complete else None
