"""300 of the smallest cells through SLURM, from the command to the report, and what a plan of 10,000 costs.

    OMP_NUM_THREADS=1 python -m benchmarks.slurm

On a cluster of its own, two nodes of four CPUs on this machine: root and SLURM's packages are needed (see
tests/slurm/conftest.py). Each cell is real: a process, a warm start, an iteration, two evaluations, its
checkpoints. Beside it the same cells by launcher=local, and as a yardstick an array of 300 jobs that only
run `python -c pass`.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "tests" / "slurm"
CELLS = 300
TRIVIAL = [
    "+sweep=smoke",
    "sweep.algorithms=[grpo]",
    f"sweep.seeds=[{','.join(map(str, range(CELLS)))}]",
    "batch.trajectories=8",
    "batch.minibatches=1",
    "model.clone_updates=1",
    "model.clone_steps=20",
    "model.layers=1",
    "model.width=8",
    "model.heads=1",
    "env.horizon=5",
    "env.rooms=2",
    "env.train_tasks=1",
    "env.eval_tasks=1",
    "evaluation.points=1",
    "evaluation.window=1",
    "evaluation.episodes=1",
    "evaluation.record=0",
    "budget.axis=trajectories",
    "budget.limit=8",
]
JOBS = ["launcher=slurm", "wait=true", "launcher.cells_per_job=38"]
BIG = ["+sweep=factorial", f"sweep.seeds=[{','.join(map(str, range(84)))}]", "launcher=slurm", "--dry-run"]


def timed(*command: str) -> float:
    """Seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def main() -> None:
    """Print the times."""
    sweep = (sys.executable, "-m", "harness.sweep")
    with tempfile.TemporaryDirectory(prefix="slurm-") as cluster, tempfile.TemporaryDirectory() as out:
        subprocess.run([SCRIPTS / "up.sh", cluster], check=True)
        os.environ["SLURM_CONF"] = f"{cluster}/slurm.conf"
        try:
            seconds = timed(*sweep, *TRIVIAL, *JOBS, f"sweep.out={out}/slurm")
            done = len(list(Path(out, "slurm", "runs").glob("*/result.json")))
            print(f"{done} cells by launcher=slurm, 38 a job, to the report: {seconds:.0f} s")
            seconds = timed(*sweep, *TRIVIAL, f"sweep.out={out}/local")
            print(f"the same by launcher=local: {seconds:.0f} s")
            bare = ("sbatch", "--wait", f"--array=0-{CELLS - 1}", "-o", "/dev/null", "--wrap")
            seconds = timed(*bare, f"srun {sys.executable} -c pass")
            print(f"{CELLS} bare jobs of one array: {seconds:.0f} s")
            print(f"a plan of 10,080 cells: {timed(*sweep, *BIG, f'sweep.out={out}/big'):.1f} s")
        finally:
            subprocess.run([SCRIPTS / "down.sh", cluster, "--purge"], check=True)


if __name__ == "__main__":
    main()
