"""Whether SLURM is there and answers."""

import shutil
from collections.abc import Iterator

from harness.checkup.finding import Finding, fail, ok, warn
from harness.config import Launcher, SlurmConfig
from harness.errors import UserError
from harness.launch.slurm.cluster import Unreachable, ask


def slurm(launcher: Launcher) -> Iterator[Finding]:
    """Where it is asked for, it must be there and have the partition; elsewhere it is for information."""
    asked = isinstance(launcher, SlurmConfig)
    if asked:
        from harness.sweep import check_slurm

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
        mend = "ask the cluster's staff, or choose launcher=local"
        yield (fail if asked else warn)("slurm", f"it doesn't answer ({error}): {mend}")
        return
    names = ", ".join(dict.fromkeys(partitions))
    if isinstance(launcher, SlurmConfig) and launcher.partition not in ("", *partitions):
        yield fail("slurm", f"launcher.partition={launcher.partition} does not exist: there are {names}")
        return
    yield ok("slurm", f"{release} answers; partitions {names}")
