"""Which cells a sweep's declared contrasts compare."""

from collections.abc import Sequence

from harness.config.compose import to_plain
from harness.config.schema import RunConfig, SweepConfig
from harness.errors import UserError

Contrasts = dict[str, dict[str, list[RunConfig]]]


def resolve(sweep: SweepConfig, cells: Sequence[RunConfig]) -> Contrasts:
    """The cells on both sides of every contrast.

    Raises `UserError` where a selector matches no arm, or both sides share one.
    """
    found: Contrasts = {}
    for name, sides in sweep.contrasts.items():
        found[name] = {side: select(selectors, cells, name) for side, selectors in sides.items()}
        shared = {cell.algorithm for cell in found[name]["left"]} & {
            cell.algorithm for cell in found[name]["right"]
        }
        if shared:
            arm = next(iter(shared)).name
            raise UserError(f"sweep.contrasts.{name} has {arm} on both sides: narrow its selectors")
    return found


def select(selectors: Sequence[str], cells: Sequence[RunConfig], contrast: str) -> list[RunConfig]:
    """The cells that match one of the selectors; every selector must match some."""
    chosen = []
    for selector in selectors:
        mine = [cell for cell in cells if matches(selector, cell)]
        if not mine:
            raise UserError(f"sweep.contrasts.{contrast}: no arm of the sweep is {selector!r}")
        chosen += mine
    return chosen


def matches(selector: str, cell: RunConfig) -> bool:
    """Whether the cell's arm has the name and the options that the selector names."""
    options = to_plain(cell)["algorithm"] | {"algorithm": cell.algorithm.name}
    for word in selector.split():
        option, _, value = word.rpartition("=")
        if str(options.get(option or "algorithm")) != value:
            return False
    return True
