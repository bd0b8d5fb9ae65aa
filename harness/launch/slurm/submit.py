"""Cells into job arrays, over submitit's AutoExecutor."""

import contextlib
import io
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness.config import SlurmConfig
from harness.config.plain import to_plain
from harness.errors import UserError
from harness.launch.slurm.cluster import largest_array, own_environment
from harness.launch.slurm.job import Job
from harness.launch.slurm.standing import Cell
from harness.launch.slurm.submission import Submission, new


def submit(
    cells: Sequence[Cell], sweep: str, out: Path, launcher: SlurmConfig, codes: Mapping[str, str]
) -> list[Submission]:
    """Submit the cells in as few arrays as the cluster allows; raise `UserError` with sbatch's words."""
    tasks = list(batched(cells, launcher.cells_per_job))
    return [submit_array(part, sweep, out, launcher, codes) for part in batched(tasks, largest_array())]


def submit_array(
    tasks: Sequence[Sequence[Cell]], sweep: str, out: Path, launcher: SlurmConfig, codes: Mapping[str, str]
) -> Submission:
    """Submit one array, its record written before and after."""
    parameters = sbatch_parameters(launcher)
    ids = [[cell.id for cell in task] for task in tasks]
    submission = new(re.sub(r"[^\w.-]", "_", sweep), ids, parameters)
    submission.save(out / "slurm")
    record = out / "slurm" / f"{submission.name}.json"
    jobs = [
        Job(
            out=str(out.resolve()),
            configs=tuple(to_plain(cell.config) for cell in task),
            codes={cell.id: codes[cell.id] for cell in task if cell.id in codes},
            launcher=launcher,
        )
        for task in tasks
    ]
    try:
        job = map_array(jobs, out / "slurm" / submission.name, submission.name, parameters, launcher)
    except Exception:
        record.unlink()
        raise
    submission = replace(submission, job=job)
    submission.save(out / "slurm")
    return submission


def map_array(
    jobs: Sequence[Job], folder: Path, name: str, parameters: dict[str, Any], launcher: SlurmConfig
) -> str:
    """Submit the jobs as one array; returns its job id."""
    import submitit

    with own_environment():
        executor = submitit.AutoExecutor(
            folder=folder.resolve(), cluster="slurm", slurm_python=launcher.python or None
        )
        executor.update_parameters(name=name, **parameters)
        try:
            # It prints sbatch's complaint as well as raising it.
            with contextlib.redirect_stderr(io.StringIO()):
                submitted = executor.map_array(Job.run, jobs)
        except submitit.core.utils.FailedJobError as error:
            raise UserError(f"sbatch refused the jobs: {refusal(str(error))}") from error
    return str(submitted[0].job_id).partition("_")[0]


def refusal(text: str) -> str:
    """sbatch's own words in what submitit says of them, in one line."""
    lines = [line.strip() for line in text.splitlines() if "sbatch:" in line or "error:" in line.lower()]
    return " ".join(dict.fromkeys(lines)) or " ".join(text.split())


def sbatch_parameters(launcher: SlurmConfig) -> dict[str, Any]:
    """The launcher's options as AutoExecutor knows them; what is empty is left to the cluster."""
    options: dict[str, Any] = {
        "timeout_min": launcher.minutes,
        "cpus_per_task": launcher.cpus,
        "nodes": 1,
        "tasks_per_node": 1,
        "slurm_array_parallelism": launcher.array_parallelism,
        "slurm_signal_delay_s": launcher.grace_seconds,
    }
    for name in ("partition", "account", "qos", "constraint", "gres", "mem"):
        if value := getattr(launcher, name):
            options[f"slurm_{name}"] = value
    if launcher.setup:
        options["slurm_setup"] = list(launcher.setup)
    if launcher.srun_args:
        options["slurm_srun_args"] = list(launcher.srun_args)
    if launcher.sbatch:
        options["slurm_additional_parameters"] = dict(launcher.sbatch)
    return options


def sbatch_text(launcher: SlurmConfig) -> str:
    """The command line that asks for the same."""
    options = {
        **{
            name: getattr(launcher, name)
            for name in ("partition", "account", "qos", "constraint", "gres", "mem")
        },
        "cpus-per-task": launcher.cpus,
        "time": launcher.minutes,
        "signal": f"USR2@{launcher.grace_seconds}",
        **launcher.sbatch,
    }
    flags = [f"--{name}={value}" for name, value in options.items() if value]
    return shlex.join(["sbatch", *flags, f"--array=0-N%{launcher.array_parallelism}"])


def batched(things: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """`things` in lists of `size`, the last one shorter (itertools has it from Python 3.12 on)."""
    left = iter(things)
    while part := list(islice(left, size)):
        yield part
