"""Whether SLURM is there and answers."""

import shutil
from collections.abc import Iterator
from textwrap import shorten

from harness.checkup.finding import Finding, fail, ok, warn
from harness.config import Launcher, SlurmConfig
from harness.errors import UserError
from harness.launch.slurm.cluster import Unreachable, ask
from harness.planning.checks import check_slurm


def slurm(launcher: Launcher) -> Iterator[Finding]:
    """Where it is asked for, it must be there and have the partition; elsewhere it is for information."""
    asked = isinstance(launcher, SlurmConfig)
    if asked:
        try:
            check_slurm()
        except UserError as error:
            yield fail("slurm", str(error))
            return
    elif not shutil.which("sbatch"):
        yield ok("slurm", "none here; only launcher=slurm needs it")
        return
    try:
        release = ask("sbatch", "--version").strip()
        ask("squeue", "-h", "--me")
        partitions = ask("sinfo", "-h", "-o", "%R").split()
    except Unreachable as error:
        silent = f"it doesn't answer ({shorten(str(error), 100)})"
        if asked:
            yield fail("slurm", f"{silent}: ask the cluster's staff, or choose launcher=local")
        else:
            yield warn("slurm", f"{silent}; only launcher=slurm needs it")
        return
    names = ", ".join(dict.fromkeys(partitions))
    wanted = launcher.partition if isinstance(launcher, SlurmConfig) else ""
    if not {*wanted.split(",")} <= {"", *partitions}:
        yield fail("slurm", f"there is no launcher.partition={wanted}: set one of {names}")
        return
    yield ok("slurm", f"{release} answers; partitions {names}")
