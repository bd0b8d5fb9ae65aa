"""`sweep.seeds=until_decided`: seeds are run look by look, for the arms of what is undecided alone.

What is asked for next follows from the store alone, so that a killed sweep goes on where it was.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cells import Record
from harness.config import RunConfig, SweepConfig
from harness.launch.outcome import Outcome
from harness.planning import directory
from harness.store import cell_id
from harness.terminal import show

if TYPE_CHECKING:
    from reports.deciding import Standing

Launch = Callable[[Sequence[RunConfig]], Outcome]
"""Declare some cells, and run or submit them."""


def until_decided(
    sweep: SweepConfig, cells: Sequence[RunConfig], declared: Record, launch: Launch
) -> Outcome:
    """Launch the cells up to each look, then those that undecided comparisons need for the next one."""
    # Only now: the report's libraries would slow the start.
    from reports.deciding import standings

    out = Path(sweep.out)
    before = directory.earlier(out)
    asked = {*before["cells"]} if before else set()
    asked |= ids_of(cells, sweep.seeds[: sweep.looks[0]])
    for number, look in enumerate(sweep.looks):
        outcome = launch([cell for cell in cells if cell_id(cell) in asked])
        if outcome.alive or outcome.cancelled:
            return outcome
        found = standings(out, sweep.seeds[:look])
        show(look_text(look, found))
        open_ = {(each.environment, arm) for each in found if each.undecided for arm in each.arms}
        if not open_ or look == sweep.looks[-1]:
            return outcome
        place = {id: (declared["environments"][id], declared["arms"][id]) for id in declared["cells"]}
        following = ids_of(cells, sweep.seeds[: sweep.looks[number + 1]])
        asked |= {id for id in following if place[id] in open_}
    raise AssertionError("the last look returns")


def ids_of(cells: Sequence[RunConfig], seeds: Sequence[int]) -> set[str]:
    """The cells of some seeds."""
    return {cell_id(cell) for cell in cells if cell.seed in seeds}


def look_text(look: int, found: Sequence["Standing"]) -> str:
    """`after 9 seeds: step − token usually better; undecided: step − trajectory`."""
    several = len({each.environment for each in found}) > 1
    said, left = [], []
    for each in found:
        name = f"{each.name} on {each.environment}" if several else each.name
        if each.undecided:
            left.append(name)
        else:
            said.append(f"{name} {each.word}")
    parts = [", ".join(said), f"undecided: {', '.join(left)}" if left else ""]
    return f"after {look} seeds: {'; '.join(filter(None, parts))}"
