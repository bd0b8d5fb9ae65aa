"""Where cells run: not part of any cell."""

import os
from dataclasses import dataclass, field
from typing import Any

from harness.errors import require

CHECKPOINT_SECONDS = 60.0
OWN_OPTIONS = {
    **{name: name for name in ("partition", "account", "qos", "constraint", "gres", "mem")},
    **{"cpus-per-task": "cpus", "time": "minutes", "signal": "grace_seconds"},
}
"""Options of sbatch that are options of the launcher, and their names there."""
SET_BY_US = (
    *("array", "clusters", "error", "input", "job-name", "nodes", "no-requeue", "ntasks", "ntasks-per-node"),
    *("open-mode", "output", "parsable", "test-only", "wait", "wrap"),
)
"""Options of sbatch that follow from how jobs are run."""


@dataclass(frozen=True)
class LauncherConfig:
    """Where cells run, and how; not part of any cell."""

    name: str
    """The launcher's name, as in `launcher=NAME`."""
    flops_per_second: float = 2e10
    """Nominal FLOPs of the budget that a worker gets through in a second, evaluations' time included: for a
    plan's hours, if the store has no finished cell of an arm. The default was measured on one CPU core,
    model=tiny on the vault: 0.9e10 (appo) to 3.5e10 (ppo), 2e10 over the six arms of all_algos."""
    checkpoint_seconds: float = CHECKPOINT_SECONDS
    """Least seconds between two checkpoints of a run, besides those after each evaluation and before a stop:
    the most that a kill can cost, but for the iteration in flight."""
    allow_mixed_code: bool = False
    """Go on in a store whose cells other code made, or other versions of torch, transformers or numpy."""
    wait: bool = False
    """Set by `wait=true`: with launcher=slurm, follow the jobs to the report; local cells always are."""
    cancel: bool = False
    """Set by `cancel=true`: with launcher=slurm, cancel the sweep's jobs and do nothing else."""

    def __post_init__(self) -> None:
        rate = self.flops_per_second
        require(0 < rate < float("inf"), f"launcher.flops_per_second={rate:g} must be above 0 and finite")
        seconds = self.checkpoint_seconds
        require(seconds >= 0, f"launcher.checkpoint_seconds={seconds:g} must not be negative")


@dataclass(frozen=True)
class LocalConfig(LauncherConfig):
    """Processes of this machine, which end with the command."""

    workers: int = 0
    """Cells that run at once, one thread each; 0 means one for each core this process may use."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            not self.cancel,
            "cancel=true is for launcher=slurm: local cells end with the command that runs them, by Ctrl-C",
        )
        require(self.workers >= 0, f"launcher.workers={self.workers} must not be negative")

    @property
    def at_once(self) -> int:
        """Cells that run at once."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class SlurmConfig(LauncherConfig):
    """Job arrays of a SLURM cluster. Options that are empty are left to the cluster's defaults."""

    partition: str = ""
    """sbatch --partition."""
    account: str = ""
    """sbatch --account."""
    qos: str = ""
    """sbatch --qos."""
    constraint: str = ""
    """sbatch --constraint."""
    gres: str = ""
    """sbatch --gres of a job, such as `gpu:1` or `gpu:a100:2`; empty: CPUs alone."""
    cpus: int = 1
    """sbatch --cpus-per-task of a job."""
    mem: str = ""
    """sbatch --mem of a job, such as `8G`."""
    minutes: int = 0
    """sbatch --time of a job; 0: the shell's SBATCH_TIMELIMIT, or else 240. A run that needs longer writes a
    checkpoint, is queued again and goes on."""
    grace_seconds: int = 120
    """A job is told this long before its time is up; a run's longest iteration, evaluation or checkpoint
    should take less, or it goes on from an older checkpoint. SLURM may tell it up to a minute earlier."""
    cells_per_job: int = 1
    """Cells that one job of the array runs, one after another: more for cells of minutes."""
    runs_per_gpu: int = 1
    """Cells of a job that run at once and share its GPUs; each also needs a CPU of `cpus`."""
    array_parallelism: int = 256
    """Most jobs of an array that run at once."""
    max_attempts: int = 3
    """How often a cell may fail or be lost without getting on: a job that left a newer checkpoint does not
    count, nor one that was cancelled or that SLURM put back into its queue. A job that puts itself back is
    one attempt for each turn in which none of its cells got on."""
    setup: tuple[str, ...] = ()
    """Shell lines at the head of every job: `module load cuda`, `source venv/bin/activate`."""
    python: str = ""
    """The Python that runs a job, if it isn't this one: a command, arguments allowed."""
    srun_args: tuple[str, ...] = ()
    """More arguments of a job's srun, such as `--container-image=...`."""
    sbatch: dict[str, Any] = field(default_factory=dict)
    """More options of sbatch by their long names, `true` for one without a value: `{exclude: node07,
    contiguous: true}`; on the command line `+launcher.sbatch.contiguous=true`."""
    wait_hours: float = 168.0
    """With wait=true: follow the jobs for at most this long; they go on after that."""

    def __post_init__(self) -> None:
        super().__post_init__()
        names = ("cpus", "cells_per_job", "runs_per_gpu", "array_parallelism", "max_attempts")
        for name in names:
            value = getattr(self, name)
            require(value >= 1, f"launcher.{name}={value} must be at least 1")
        for name in ("minutes", "grace_seconds", "wait_hours"):
            value = getattr(self, name)
            require(value >= 0, f"launcher.{name}={value} must not be negative")
        require(
            not self.minutes or self.grace_seconds < 60 * self.minutes,
            f"launcher.grace_seconds={self.grace_seconds} is not less than launcher.minutes={self.minutes}: "
            "every job would be told to end as it starts",
        )
        for option, value in self.sbatch.items():
            check_sbatch(option.replace("_", "-"), value)
        require(
            self.runs_per_gpu <= self.cells_per_job,
            f"launcher.runs_per_gpu={self.runs_per_gpu} exceeds launcher.cells_per_job={self.cells_per_job}: "
            f"a job holds {self.cells_per_job}, set launcher.cells_per_job to a multiple",
        )
        require(
            self.runs_per_gpu <= self.cpus,
            f"launcher.runs_per_gpu={self.runs_per_gpu} exceeds launcher.cpus={self.cpus}: each run "
            f"needs one, set launcher.cpus={self.runs_per_gpu}",
        )

    @property
    def at_once(self) -> int:
        """Cells that run at once, if the cluster has room."""
        return self.array_parallelism * self.runs_per_gpu


def check_sbatch(option: str, value: object) -> None:
    """Raise `UserError` for an entry of `launcher.sbatch` that can't be passed on."""
    where = f"launcher.sbatch.{option}"
    own = OWN_OPTIONS.get(option)
    require(own is None, f"{where} has an option of its own: set launcher.{own}")
    require(option not in SET_BY_US, f"{where} can't be set: it follows from how jobs are run")
    require(
        isinstance(value, str | int | float) and value != "",
        f"{where}={value} must be a text or a number, or true for an option without a value",
    )


Launcher = LocalConfig | SlurmConfig
LAUNCHERS: dict[str, type[Launcher]] = {"local": LocalConfig, "slurm": SlurmConfig}
