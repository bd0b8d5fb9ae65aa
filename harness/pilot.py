"""`sweep.seeds=auto`: as many fresh seeds as a pilot sweep says are needed to find an effect.

The pilot's own seeds are not used again. Its results chose the number of seeds, and often the arms; a test on
the runs that chose it no longer errs at the rate it states. So the confirmation starts after the pilot's
highest seed, and its report holds nothing of the pilot.

The pilot's spread is taken to be the sweep's: it should have the sweep's budget. A pilot with more arms than
the sweep asks for a few seeds more than needed.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from harness.compose.sweeps import Settings
from harness.config.sweep import SweepConfig
from harness.errors import UserError

if TYPE_CHECKING:
    from reports.store import Store


def auto_seeds(sweep: SweepConfig, settings: Settings) -> list[int]:
    """The seeds that `auto` stands for; `settings` are the sweep's.

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
    check_settings(pilot, store, settings)
    check_arms(pilot, store, sweep)
    first = int(store.runs["seed"].max()) + 1
    return list(range(first, first + seeds_needed(store, sweep.effect)))


def check_settings(pilot: str, store: "Store", settings: Settings) -> None:
    """Raise `UserError` if the pilot's environments or model are not the sweep's."""
    environments = dict(zip(store.runs["cell"], store.runs["env"], strict=True))
    if (its := set(environments.values())) != set(settings):
        raise UserError(
            f"sweep.pilot={pilot} has env={', '.join(sorted(its))}, this sweep {', '.join(settings)}: "
            "run a pilot of it"
        )
    for env, sections in settings.items():
        configs = [config for cell, config in store.configs.items() if environments[cell] == env]
        for section, options in sections.items():
            # An option that is missing on one side is at its default there (`LATER`).
            own = {option for config in configs for option in config[section]} - {"_target_"}
            for option in sorted(own | options.keys()):
                value = options.get(option)
                known = [config[section].get(option) for config in configs]
                # What the pilot's arms differ in, as tuned ones do in their rates, is not a setting.
                if known and all(each == known[0] != value for each in known):
                    raise UserError(
                        f"sweep.pilot={pilot} has {section}.{option}={known[0]}, this sweep {value}: "
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
