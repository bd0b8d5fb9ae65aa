"""SLURM's queue in words."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from harness.errors import UserError
from harness.launch.slurm import submission
from harness.launch.slurm.cluster import Element, queue


def queue_text(waiting: Sequence[Element], running: int) -> str:
    """`3 wait (Resources), 2 run`: SLURM's own reasons, the most frequent first."""
    reasons = Counter(element.reason for element in waiting if element.reason)
    why = ", ".join(reason for reason, _ in reasons.most_common())
    return f"{len(waiting)} wait{f' ({why})' if why else ''}, {running} run"


def queue_notes(out: Path) -> list[str]:
    """A line on the jobs of the sweep in `out` that wait or run, or on why nobody knows; none without any."""
    try:
        names = [each.name for each in submission.read_all(out / "slurm")]
        jobs = [job for array in queue(names).values() for job in array.elements.values()]
    except UserError as error:
        return [f"nothing is known of jobs in SLURM: {error}"]
    alive = [job for job in jobs if job.alive]
    waits = [job for job in alive if job.waits]
    return [f"jobs in SLURM: {queue_text(waits, len(alive) - len(waits))}"] if alive else []
