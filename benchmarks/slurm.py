"""300 of the smallest cells through SLURM, from the command to the report, and what a plan of 10,000 costs.

    OMP_NUM_THREADS=1 python -m benchmarks.slurm

On a cluster of its own, two nodes of four CPUs on this machine: root and SLURM's packages are needed (see
tests/slurm/conftest.py). Each cell is real: a process, an iteration of eight episodes of two steps, two
evaluations, two checkpoints. There is a job for each of two cores, as each job imports torch once. Beside it,
in turns, what one would write instead: submitit's own array, of 300 calls that compute nothing. Then the same
cells by launcher=local, and an array of 300 jobs that only run `python -c pass`.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import submitit

SCRIPTS = Path(__file__).resolve().parents[1] / "tests" / "slurm"
CELLS = 300
CORES = 2
TRIVIAL = [
    "+sweep=smoke",
    "sweep.algorithms=[grpo]",
    f"sweep.seeds=[{','.join(map(str, range(CELLS)))}]",
    "batch.trajectories=8",
    "batch.minibatches=1",
    "model.clone_updates=0",
    "model.layers=1",
    "model.width=8",
    "model.heads=1",
    "env.horizon=2",
    "env.rooms=2",
    "env.key=false",
    "env.train_tasks=1",
    "env.eval_tasks=1",
    "evaluation.points=1",
    "evaluation.window=1",
    "evaluation.episodes=1",
    "evaluation.record=0",
    "budget.axis=trajectories",
    "budget.limit=8",
]
JOBS = ["launcher=slurm", "wait=true", f"launcher.cells_per_job={CELLS // CORES}"]
BIG = [
    *("+sweep=factorial", f"sweep.seeds=[{','.join(map(str, range(84)))}]", "launcher=slurm", "--dry-run"),
    *("model.layers=1", "budget.limit=2e11", "evaluation.record=0"),  # a plan asks for the disk it can take
]
SWEEP = (sys.executable, "-m", "harness.sweep")


def timed(*command: str) -> float:
    """Seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def cells(what: str, out: Path, *options: str) -> float:
    """Run the cells and print where the seconds go; returns how many."""
    began = time.time()
    timed(*SWEEP, *TRIVIAL, *options, f"sweep.out={out}")
    ended = time.time()
    first = min(path.stat().st_mtime for path in out.glob("runs/*/config.json"))
    results = [path.stat().st_mtime for path in out.glob("runs/*/result.json")]
    last = max(results)
    print(
        f"{len(results)} cells by {what}: {ended - began:.1f} s; until the first cell starts "
        f"{first - began:.1f} s, all cells {last - first:.1f} s, then the report {ended - last:.1f} s",
        flush=True,
    )
    return ended - began


def submitit_alone(folder: Path) -> float:
    """Seconds of an array of submitit's whose tasks compute nothing, from submitting to the last result."""
    began = time.monotonic()
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm")
    executor.update_parameters(timeout_min=5, slurm_array_parallelism=CELLS)
    jobs = executor.map_array(abs, range(CELLS))
    # Its own way to wait asks for accounting, each second and for each job.
    while not all(job.paths.result_pickle.exists() for job in jobs):
        time.sleep(0.5)
    return time.monotonic() - began


def measure(out: Path) -> None:
    """Print the times."""
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)
    for turn in range(2):
        ours = cells(f"launcher=slurm in {CORES} jobs", out / f"slurm-{turn}", *JOBS)
        alone = submitit_alone(out / f"submitit-{turn}")
        print(f"{CELLS} calls of abs by submitit alone: {alone:.1f} s; ratio {ours / alone:.2f}", flush=True)
    cells("launcher=local", out / "local", f"launcher.workers={CORES}")
    bare = ("sbatch", "--wait", f"--array=0-{CELLS - 1}", "-o", "/dev/null", "--wrap")
    seconds = timed(*bare, f"srun {sys.executable} -c pass")
    print(f"{CELLS} bare jobs of one array: {seconds:.1f} s", flush=True)
    seconds = timed(*SWEEP, *BIG, f"sweep.out={out}/big")
    print(f"a plan of 10,080 cells: {seconds:.1f} s", flush=True)
    print(f"load average {os.getloadavg()[0]:.1f}")


def main() -> None:
    """Measure on a cluster that ends with this command, also if it is told to end early."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="slurm-") as cluster, tempfile.TemporaryDirectory() as out:
        subprocess.run([SCRIPTS / "up.sh", cluster], check=True)
        os.environ["SLURM_CONF"] = f"{cluster}/slurm.conf"
        try:
            measure(Path(out))
        finally:
            subprocess.run([SCRIPTS / "down.sh", cluster, "--purge"], check=True)


if __name__ == "__main__":
    main()
