"""The command of a job: `python -m harness.launch.slurm.start FOLDER`.

A warning that comes while the job's modules are imported, which may take a minute on a shared disk, would
kill the process, and SLURM would not queue a job again that failed. So warnings are held back before that,
and `Job.run` takes them.
"""

import os
import signal
import sys
from pathlib import Path

WARNINGS = (signal.SIGUSR2, signal.SIGTERM)
"""What SLURM sends to a job that is about to end."""


def main(folder: Path) -> int:
    """Run this job of the array that has its cells in `folder`; returns the exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WARNINGS)
    from harness.launch.slurm.job import read_job

    index = int(os.environ.get("SLURM_ARRAY_TASK_ID", "0"))
    return read_job(folder, index).run(folder, index)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
