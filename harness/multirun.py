"""`python -m harness.multirun -m seed=0,1 algorithm=grpo,ppo`: single cells by Hydra's own launchers.

For experiments by hand, with any launcher or sweeper that Hydra has: `hydra/launcher=submitit_slurm` (extra
`hydra-slurm`) submits jobs and waits for them. Hydra neither skips what is done nor tries again; the cells,
kept under `runs/single`, resume all the same. For comparisons there is harness.sweep.
"""

import os
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import get_original_cwd
from omegaconf import DictConfig

from harness.compose.composing import CONFIG_DIR, NOT_OF_A_RUN, composed_run, refuse
from harness.config import CHECKPOINT_SECONDS
from harness.launch import BUSY, DONE
from harness.launch.worker import attempt
from harness.run import SINGLE
from harness.store import RunDir, read_json


@hydra.main(version_base="1.3", config_path=str(CONFIG_DIR), config_name="config")
def main(composed: DictConfig) -> float:
    """Run a cell; its final score (or success), which Hydra's sweepers maximise or minimise."""
    refuse(HydraConfig.get().overrides.task, NOT_OF_A_RUN)
    config = composed_run(composed)
    config.env.check()
    out = Path(get_original_cwd()) / SINGLE
    run_dir = RunDir.create(out, config)
    with run_dir.lease(lost=lambda: os._exit(BUSY)) as lease:
        if lease is None:
            raise RuntimeError(f"another process runs {run_dir.path}")
        code = attempt(config, run_dir, out, CHECKPOINT_SECONDS, None, stopping=lambda: False)
    if code != DONE:
        # Hydra reports what is raised; a job that only ends looks like a success to it.
        raise RuntimeError(read_json(run_dir.failure)["reason"])
    return float(read_json(run_dir.result)["final_score"])


if __name__ == "__main__":
    main()
