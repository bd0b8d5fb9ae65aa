"""What plans, boards and reports call each cell of a sweep: its arm and its environment."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.cells import arm_names, options_of
from harness.compose.arms import sweep_arms
from harness.config import RunConfig, SweepConfig
from harness.config.plain import to_plain
from harness.store import cell_id


@dataclass(frozen=True)
class Label:
    """A cell's place in its sweep, apart from its seed."""

    arm: str
    """The same in every environment."""
    environment: str
    """As `sweep.envs` has it, else the environment's name; with its own label if that says more."""


def labels(sweep: SweepConfig, cells: Sequence[RunConfig]) -> list[Label]:
    """The labels of a sweep's cells, which are ordered by seed, then environment, then arm."""
    environments = environment_names(sweep, cells[: len(cells) // len(sweep.seeds)])
    arms = len(cells) // len(sweep.seeds) // len(environments)
    if sweep.trials or sweep.tuned:
        names = [arm.name for arm in sweep_arms(sweep)]
    else:
        ids = [cell_id(cell) for cell in cells[:arms]]
        named = arm_names(ids, {id: options_of(to_plain(cell)) for id, cell in zip(ids, cells, strict=False)})
        names = [named[id] for id in ids]
    of_a_seed = [Label(name, environment) for environment in environments for name in names]
    return of_a_seed * len(sweep.seeds)


def environment_names(sweep: SweepConfig, cells: Sequence[RunConfig]) -> list[str]:
    """What a sweep's environments are called wherever a number from them is shown; the cells of one seed."""
    given = sweep.envs or (cells[0].env.name,)
    arms = len(cells) // len(given)
    specs = [cells[arms * place].env for place in range(len(given))]
    return [
        name if spec.label == spec.name else f"{name} ({spec.label})"
        for name, spec in zip(given, specs, strict=True)
    ]
