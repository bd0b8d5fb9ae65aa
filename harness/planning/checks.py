"""What would fail later is refused before anything is written: no model, a useless budget, a full disk."""

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from envs.base import EnvironmentSpec
from harness.config import Launcher, ModelConfig, RunConfig, SlurmConfig, SweepConfig
from harness.errors import UserError
from harness.launch.slurm import cluster, limits
from harness.planning.codes import check_code
from harness.planning.plan import Plan, check_disk, existing_folder, plan
from harness.planning.predict import check_budget
from harness.policy.inputs import inputs_of
from harness.policy.source import Damaged
from harness.policy.source import check as check_model
from harness.rollout.engines import check_engine
from harness.store import RunDir, cell_id
from harness.store.run_dir import refuse_changed


def check(sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig]) -> Plan:
    """The plan; raise `UserError` for what would fail later: no model, a useless budget, a full disk."""
    check_parts(cells)
    check_inputs(Path(sweep.out), cells)
    planned = check_plan(sweep, launcher, cells)
    check_disk(planned)
    return planned


def forecast(
    sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig]
) -> tuple[Plan, list[UserError]]:
    """The plan, and what this machine lacks to carry it out; raise `UserError` for all else that would fail.

    So that what runs elsewhere can be planned here: without weights, data, a device, or room on the disk.
    """
    lacks = lacking(cells)
    if not lacks:
        check_inputs(Path(sweep.out), cells)
    planned = check_plan(sweep, launcher, cells)
    try:
        check_disk(planned)
    except UserError as error:
        lacks.append(error)
    return planned, lacks


def check_plan(sweep: SweepConfig, launcher: Launcher, cells: Sequence[RunConfig]) -> Plan:
    """The plan; raise `UserError` for a useless budget, or a store that can't be written or is not ours."""
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
    if not launcher.allow_mixed_code:
        check_code(Path(sweep.out), cells)
    return planned


def check_slurm(launcher: SlurmConfig, out: Path, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if jobs can't be submitted, or would never start; cancelling asks less."""
    if launcher.cancel:
        cluster.require_slurm()
    else:
        limits.check(launcher, out, cells)


def check_parts(cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if an environment, a model or an engine is not on this machine."""
    for error in lacking(cells):
        raise error


def lacking(cells: Sequence[RunConfig]) -> list[UserError]:
    """Why environments, models and engines can't be used on this machine. Raises `Damaged` for a model whose
    files can't be read: nothing is known of it."""
    checks: list[Callable[[], None]] = [env.check for env in dict.fromkeys(cell.env for cell in cells)]
    checks += [partial(check_model, model) for model in dict.fromkeys(cell.model for cell in cells)]
    engines = {(cell.engine, cell.model): cell for cell in cells}.values()
    checks += [partial(check_engine, cell) for cell in engines]
    found = []
    for check_part in checks:
        try:
            check_part()
        except Damaged:
            raise
        except UserError as error:
            found.append(error)
    return found


def check_inputs(out: Path, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if a cell of the store has read a model or games that have changed since."""
    for (model, env), mine in by_inputs(cells).items():
        inputs = inputs_of(model, env)
        for cell in mine if inputs and (out / "runs").exists() else ():
            run_dir = RunDir(out / "runs" / cell_id(cell))
            refuse_changed(run_dir.changed_inputs(inputs), run_dir.path.name)


def by_inputs(cells: Sequence[RunConfig]) -> dict[tuple[ModelConfig, EnvironmentSpec], list[RunConfig]]:
    """Cells that read the same files."""
    found = defaultdict[tuple[ModelConfig, EnvironmentSpec], list[RunConfig]](list)
    for cell in cells:
        found[cell.model, cell.env].append(cell)
    return found
