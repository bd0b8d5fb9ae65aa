"""What would fail later is refused before anything is written: no model, a useless budget, a full disk."""

import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.config import Launcher, RunConfig, SweepConfig
from harness.errors import UserError
from harness.launch.slurm.cluster import require_slurm
from harness.planning.codes import check_code
from harness.planning.plan import Plan, check_disk, existing_folder, plan
from harness.planning.predict import check_budget
from harness.policy.source import check as check_model
from harness.rollout.engines import check_engine


def check(sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig]) -> Plan:
    """The plan; raise `UserError` for what would fail later: no model, a useless budget, a full disk."""
    check_parts(cells)
    planned = plan(sweep, launcher, cells)
    for arm in planned.arms:
        check_budget(arm.config)
    try:
        with tempfile.TemporaryFile(dir=existing_folder(Path(sweep.out))):
            pass
    except OSError as error:
        raise UserError(
            f"sweep.out={sweep.out} can't be written ({error.strerror}): set sweep.out=DIR"
        ) from error
    check_disk(planned)
    if not launcher.allow_mixed_code:
        check_code(Path(sweep.out), cells)
    return planned


def check_slurm() -> None:
    """Raise `UserError` where jobs can't be submitted from."""
    if not find_spec("submitit"):
        raise UserError("launcher=slurm needs submitit: pip install 'creditbench[slurm]'")
    require_slurm()


def check_parts(cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if an environment, a model or an engine is not on this machine."""
    for env in dict.fromkeys(cell.env for cell in cells):
        env.check()
    for model in dict.fromkeys(cell.model for cell in cells):
        check_model(model)
    for cell in {(cell.engine, cell.model): cell for cell in cells}.values():
        check_engine(cell)
