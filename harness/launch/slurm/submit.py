"""Cells into job arrays.

Everything that a job needs lies in its array's folder before sbatch is called: whatever becomes of the
answer, and of this process, jobs that SLURM has taken run.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from harness.config.plain import to_plain
from harness.errors import UserError
from harness.launch.slurm import sbatch, submission
from harness.launch.slurm.cluster import Unreachable, largest_array, queue
from harness.launch.slurm.job import Job, write_jobs
from harness.launch.slurm.request import Request
from harness.launch.slurm.standing import Cell
from harness.launch.slurm.submission import Submission
from harness.launch.slurm.turns import reached


def submit(cells: Sequence[Cell], request: Request) -> Iterator[Submission]:
    """Submit the cells in as few arrays as the cluster allows; raise `UserError` with sbatch's words."""
    tasks = list(batched(cells, request.launcher.cells_per_job))
    for part in batched(tasks, largest_array()):
        yield submit_array(part, request)


def submit_array(tasks: Sequence[Sequence[Cell]], request: Request) -> Submission:
    """Submit one array, its record written before and after."""
    launcher = request.launcher
    found = submission.new(
        request.sweep,
        [[cell.id for cell in task] for task in tasks],
        sbatch.shown(launcher),
        {cell.id: reached(cell.run_dir) for task in tasks for cell in task},
    )
    folder = (request.records / found.name).resolve()
    folder.mkdir()
    write_jobs(folder, [job_of(task, request) for task in tasks])
    (folder / "script.sh").write_text(sbatch.script(launcher, folder))
    found.save(request.records)
    try:
        job = sbatch.job_id(sbatch.sbatch(launcher, found.name, folder, len(tasks)))
    except (Unreachable, ValueError) as error:
        job = taken(found, request, error)
    found = replace(found, job=job)
    found.save(request.records)
    return found


def taken(asked: Submission, request: Request, error: Exception) -> str:
    """The job id of an array of which sbatch did not say that it was submitted.

    A time-out, or an error, may come after the controller has taken the jobs. So squeue is asked by name: if
    none waits or runs, the record goes and `UserError` is raised; without an answer, the record stays. (A
    refused job may be listed for a while, as failed.)
    """
    reason = error.reason if isinstance(error, Unreachable) else f"sbatch printed no job id: {error}"
    array = queue([asked.name]).get(asked.name)
    if array is None or not any(element.alive for element in array.elements.values()):
        (request.records / f"{asked.name}.json").unlink()
        shutil.rmtree(request.records / asked.name)
        raise UserError(f"sbatch did not take the jobs: {reason}") from error
    return array.job


def job_of(task: Sequence[Cell], request: Request) -> Job:
    """The job that runs these cells."""
    return Job(
        out=str(request.out.resolve()),
        configs=tuple(to_plain(cell.config) for cell in task),
        codes={cell.id: request.codes[cell.id] for cell in task if cell.id in request.codes},
        launcher=request.launcher,
    )


def batched(things: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """`things` in lists of `size`, the last one shorter (itertools has it from Python 3.12 on)."""
    left = iter(things)
    while part := list(islice(left, size)):
        yield part
