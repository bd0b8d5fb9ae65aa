"""What is known before jobs are submitted: that SLURM is there, and that they would ever start."""

from collections.abc import Sequence
from pathlib import Path

from harness.config import RunConfig, SlurmConfig
from harness.errors import UserError
from harness.launch.slurm import cluster, sbatch
from harness.launch.slurm.cluster import Partition


def check(launcher: SlurmConfig, out: Path, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` for jobs that can't be submitted, would wait for ever or end as they start."""
    cluster.require_slurm()
    check_path(out)
    check_gpus(launcher, cells)
    check_time(launcher, cluster.partitions())


def check_path(out: Path) -> None:
    """Raise `UserError` for a directory whose name sbatch would rewrite: the jobs' logs lie in it."""
    found = [each for each in "%\\\n" if each in str(out.resolve())]
    if found:
        raise UserError(
            f"sweep.out={out} has {found[0]!r} in its path, which sbatch takes for a pattern: set another one"
        )


def check_gpus(launcher: SlurmConfig, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if a run needs more GPUs than its job asks for by `launcher.gres`."""
    asked = gpus(launcher.gres)
    needed = max(cell.model.gpus for cell in cells)
    if asked is not None and asked < needed:
        raise UserError(
            f"model.gpus={needed} exceeds launcher.gres={launcher.gres}: set launcher.gres=gpu:{needed}"
        )


def gpus(gres: str) -> int | None:
    """The GPUs in `gpu[:TYPE][:NUMBER],...`; None if it names none."""
    parts = [each.split("(")[0].split(":") for each in gres.split(",")]
    counts = [int(part[-1]) if part[-1].isdigit() else 1 for part in parts if part[0] == "gpu"]
    return sum(counts) if counts else None


def check_time(launcher: SlurmConfig, partitions: Sequence[Partition]) -> None:
    """Raise `UserError` if jobs ask for more time than their partition gives: they would wait for ever.

    Of several partitions SLURM takes any that fits. With a QOS nothing is said: it may lift the limit.
    """
    wanted = sbatch.time_limit(launcher)
    if wanted is None:
        return
    said = f"launcher.minutes={launcher.minutes or sbatch.MINUTES}"
    if not launcher.minutes and wanted != sbatch.MINUTES:
        said = f"{sbatch.TIME_LIMIT} of {wanted:g} minutes"
    if launcher.grace_seconds >= 60 * wanted:
        raise UserError(
            f"launcher.grace_seconds={launcher.grace_seconds} is not less than {said}: every job would be "
            "told to end as it starts"
        )
    if sbatch.says(launcher, "qos"):
        return
    names = sbatch.says(launcher, "partition").split(",")
    limits = {
        each.name: each.minutes
        for each in partitions
        if each.name in names or (names == [""] and each.default)
    }
    if limits and wanted > max(limits.values()):
        raise UserError(
            f"{said} is more than the {max(limits.values()):g} minutes of partition {','.join(limits)}: jobs "
            f"would wait for ever, set launcher.minutes={max(1, int(max(limits.values())))}, or choose a "
            "launcher.partition or launcher.qos that allows it"
        )
