"""Hydra's launchers run single cells."""

import subprocess
import sys

from tests.slurm.helpers import SMALL, runs


def multirun(*arguments: str, cwd) -> subprocess.CompletedProcess[str]:
    single = [option for option in SMALL if "sweep" not in option]
    command = [sys.executable, "-m", "harness.multirun", "-m", "algorithm=grpo", *single, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=240, check=False)


def test_hydras_slurm_launcher(slurm, tmp_path):
    options = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=main", "hydra.launcher.mem_gb=1"]
    done = multirun("seed=0,1", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    finished = [run.name for run in runs(tmp_path / "runs/single") if (run / "result.json").exists()]
    assert len(finished) == 2


def test_a_cell_that_fails_is_an_error(tmp_path):
    done = multirun("seed=0", "model.lr=1e30", "budget.limit=200", cwd=tmp_path)
    assert done.returncode == 1
    assert "not finite" in done.stderr
