"""Whether SLURM is there, answers, and would start the jobs."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import shorten

from harness.checkup.finding import Finding, fail, ok, warn
from harness.config import Launcher, RunConfig, SlurmConfig
from harness.errors import UserError
from harness.launch.slurm import limits
from harness.launch.slurm.cluster import Unreachable, ask, partitions, queue
from harness.launch.slurm.sbatch import says


def slurm(launcher: Launcher, out: Path, cells: Sequence[RunConfig]) -> Iterator[Finding]:
    """If it is asked for, it must be there and start the jobs; otherwise it is for information."""
    asked = isinstance(launcher, SlurmConfig)
    if not asked and not shutil.which("sbatch"):
        yield ok("slurm", "none here; only launcher=slurm needs it")
        return
    try:
        release = ask("sbatch", "--version").strip() if shutil.which("sbatch") else ""
        if isinstance(launcher, SlurmConfig):
            limits.check(launcher, out, cells)
        queue(["creditbench-doctor"])
        names = [partition.name for partition in partitions()]
    except Unreachable as error:
        silent = f"it doesn't answer ({shorten(error.reason, 100)})"
        if asked:
            yield fail("slurm", f"{silent}: ask the cluster's staff, or choose launcher=local")
        else:
            yield warn("slurm", f"{silent}; only launcher=slurm needs it")
        return
    except UserError as error:
        yield fail("slurm", str(error))
        return
    wanted = says(launcher, "partition") if isinstance(launcher, SlurmConfig) else ""
    if not {*wanted.split(",")} <= {"", *names}:
        yield fail(
            "slurm", f"there is no partition {wanted}: set launcher.partition, one of {', '.join(names)}"
        )
        return
    yield ok("slurm", f"{release} answers; partitions {', '.join(names)}")
