"""Which cells a sweep's declared contrasts compare, and which its models are fitted to."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import product

from algorithms.base import Algorithm
from harness.config.plain import to_plain
from harness.config.schema import RunConfig
from harness.config.sweep import SweepConfig
from harness.errors import UserError

Contrasts = dict[str, dict[str, list[RunConfig]]]


def resolve(sweep: SweepConfig, cells: Sequence[RunConfig]) -> Contrasts:
    """The cells on both sides of every contrast.

    Raises `UserError` if a selector matches no arm, or both sides share one.
    """
    found: Contrasts = {}
    arms = by_arm(cells)
    for name, sides in sweep.contrasts.items():
        found[name] = {
            side: select(selectors, arms.values(), f"contrasts.{name}") for side, selectors in sides.items()
        }
        shared = {cell.algorithm for cell in found[name]["left"]} & {
            cell.algorithm for cell in found[name]["right"]
        }
        if shared:
            arm = next(iter(shared)).name
            raise UserError(f"sweep.contrasts.{name} has {arm} on both sides: narrow its selectors")
    return found


def factorial(sweep: SweepConfig, cells: Sequence[RunConfig]) -> list[RunConfig]:
    """The cells that the report's models are fitted to; none without factors.

    Raises `UserError` for a factor that an arm does not have, and if a selector matches no arm.
    """
    if not sweep.factors:
        return []
    chosen = select(sweep.factor_arms, by_arm(cells).values(), "factor_arms") if sweep.factor_arms else cells
    for arm, factor in product({cell.algorithm for cell in chosen}, sweep.factors):
        if not hasattr(arm, factor):
            raise UserError(f"sweep.factors: {factor} is not an option of {arm.name}")
    return list(chosen)


def by_arm(cells: Sequence[RunConfig]) -> dict[Algorithm, list[RunConfig]]:
    """The cells of each algorithm with its options."""
    arms: dict[Algorithm, list[RunConfig]] = defaultdict(list)
    for cell in cells:
        arms[cell.algorithm].append(cell)
    return arms


def select(selectors: Sequence[str], arms: Collection[Sequence[RunConfig]], where: str) -> list[RunConfig]:
    """The cells of the arms that match one of the selectors; every selector must match some."""
    chosen = []
    for selector in selectors:
        mine = [cell for arm in arms if matches(selector, arm[0]) for cell in arm]
        if not mine:
            raise UserError(f"sweep.{where}: no arm of the sweep is {selector!r}")
        chosen += mine
    return chosen


def matches(selector: str, cell: RunConfig) -> bool:
    """Whether the cell's arm has the name and the options that the selector names."""
    options = to_plain(cell)["algorithm"] | {"algorithm": cell.algorithm.name}
    for word in selector.split():
        option, _, value = word.rpartition("=")
        if str(options.get(option or "algorithm")).lower() != value.lower():
            return False
    return True
