"""`sweep.seeds=auto`: as many fresh seeds as a pilot sweep says are needed to find an effect.

The pilot's own seeds are not used again. Its results chose the number of seeds, and often the arms; a test on
the runs that chose it no longer errs at the rate it states. So the confirmation starts after the pilot's
highest seed, and its report holds nothing of the pilot.

The pilot's spread is taken to be the sweep's: it should have the sweep's budget. A pilot with more arms than
the sweep asks for a few seeds more than needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config.schema import SweepConfig
from harness.errors import UserError

if TYPE_CHECKING:
    from reports.store import Store

AUTO = "auto"


def auto_seeds(sweep: SweepConfig, env: str, settings: Mapping[str, Mapping[str, Any]]) -> list[int]:
    """The seeds that `auto` stands for; `settings` are the options of the sweep's env and model.

    As many as `reports.power` finds for the smallest effect of interest at 80 % power under Holm.
    """
    pilot = sweep.pilot
    if not pilot:
        raise UserError("sweep.seeds=auto needs a finished pilot sweep: add sweep.pilot=DIR, its sweep.out")
    if Path(pilot).resolve() == Path(sweep.out).resolve():
        raise UserError(f"sweep.pilot={pilot} is sweep.out: set another sweep.out, a pilot confirms nothing")
    # Only now: the report's libraries would slow every start.
    from reports.power import seeds_needed
    from reports.store import read_store

    store = read_store(Path(pilot))
    check_settings(pilot, store, env, settings)
    check_arms(pilot, store, sweep)
    first = int(store.runs["seed"].max()) + 1
    return list(range(first, first + seeds_needed(store, sweep.effect)))


def check_settings(pilot: str, store: "Store", env: str, settings: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `UserError` where the pilot's environment or model is not the sweep's."""
    for other in sorted(set(store.runs["env"]) - {env}):
        raise UserError(f"sweep.pilot={pilot} has env={other}, this sweep {env}: run a pilot of it")
    for section, mine in settings.items():
        for option, value in mine.items():
            its = [config[section].get(option) for config in store.configs.values()]
            # What the pilot's arms differ in, as tuned ones do in their rates, is no setting.
            if all(each == its[0] != value for each in its):
                raise UserError(
                    f"sweep.pilot={pilot} has {section}.{option}={its[0]}, this sweep {value}: "
                    "run a pilot of it"
                )


def check_arms(pilot: str, store: "Store", sweep: SweepConfig) -> None:
    """Raise `UserError` for an algorithm of whose spread the pilot says nothing."""
    known = {arm.split()[0] for arm in store.runs["arm"]}
    for algorithm in (arm.split()[0] for arm in sweep.algorithms):
        if algorithm not in known:
            raise UserError(
                f"sweep.pilot={pilot} has no run of {algorithm}: its spread is unknown, run a pilot with it"
            )
