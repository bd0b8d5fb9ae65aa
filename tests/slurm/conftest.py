"""A SLURM cluster of one machine: two nodes of four CPUs and two GPUs that are devices in name only.

It is not a friendly one: jobs are not requeued unless they ask for it, one partition has a short time limit,
another is hidden from those that do not ask for all.

Needs root and the packages slurmctld, slurmd, slurm-client and munge; for accounting also slurmdbd,
slurm-wlm-mysql-plugin and mariadb-server. Where they are missing, the tests are skipped, but not under CI.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import need
from tests.slurm.helpers import queue, slurm_says, until

HERE = Path(__file__).parent
PARTITIONS = """
JobRequeue=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=low Nodes=n[1-2] PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 MaxTime=INFINITE State=UP
PartitionName=short Nodes=n[1-2] MaxTime=5 State=UP
PartitionName=secret Nodes=n[1-2] Hidden=YES State=UP
PartitionName=high Nodes=n[1-2] PriorityTier=9 PreemptMode=OFF MaxTime=INFINITE State=UP
"""


def cluster(name: str, accounting: bool, programs: tuple[str, ...]) -> Iterator[Path]:
    """Start a cluster, make it the one that SLURM's commands find, and end it."""
    need(*programs)
    if os.geteuid():
        pytest.fail("SLURM needs root") if os.environ.get("CI") else pytest.skip("SLURM needs root")
    # Short: it holds unix sockets.
    folder = Path(tempfile.gettempdir()) / f"slurm-{name}-{os.getpid()}"
    env = {**os.environ, "SLURM_ACCT": str(int(accounting)), "SLURM_EXTRA": PARTITIONS}
    subprocess.run([HERE / "up.sh", folder], check=True, env=env, timeout=90)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        yield folder
    subprocess.run([HERE / "down.sh", folder, "--purge"], check=True, timeout=90)


@pytest.fixture(scope="session")
def plain_cluster() -> Iterator[Path]:
    yield from cluster("plain", False, ("munged", "slurmctld", "slurmd", "sbatch"))


@pytest.fixture
def slurm(plain_cluster, monkeypatch) -> Path:
    """A cluster without accounting, and without jobs: those that other tests left are on their way out."""
    monkeypatch.setenv("SLURM_CONF", str(plain_cluster / "slurm.conf"))
    slurm_says("scancel", "--user=root")
    until(lambda: queue() == {})
    return plain_cluster


@pytest.fixture
def slurm_with_accounting() -> Iterator[Path]:
    """A cluster that sacct knows everything of."""
    yield from cluster("acct", True, ("munged", "slurmctld", "slurmd", "sbatch", "slurmdbd", "mariadbd"))
