"""From a sweep to its cells: arms, environments and seeds, and what must hold between them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product
from typing import Any

from algorithms.factors import Clash
from envs.base import TaskSet
from harness.cells import PARTS
from harness.compose.arms import Arm, sweep_arms
from harness.compose.composing import (
    compose,
    group_options,
    in_shell,
    of_the_sweep,
    own_options,
    plain_of,
    refuse,
)
from harness.compose.frozen import find
from harness.config.launchers import Launcher
from harness.config.plain import (
    integer,
    launcher_config,
    run_config,
    shown,
    targeted,
    to_options,
    to_plain,
    typed,
)
from harness.config.schema import RunConfig
from harness.config.sweep import LOOKS, Knob, SweepConfig
from harness.errors import UserError, suggest

MATCHED = ("batch", "budget", "evaluation")
"""What the environments of a sweep have in common, but for budgets that their entries declare."""
LIMIT = "budget.limit="
AUTO, UNTIL_DECIDED = "auto", "until_decided"
MOST_SEEDS = 24
"""Of a sweep that goes on until its comparisons are decided."""
NOT_OF_A_SWEEP = {
    "seed": "a sweep has sweep.seeds=[0,1,2]",
    "algorithm": "a sweep has sweep.algorithms=[ppo,grpo]",
}
"""What a sweep does not read, and what to write instead."""
Settings = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Options of the env and of the model, by environment."""
SeedChooser = Callable[[SweepConfig, Settings], list[int]]
"""Chooses the seeds that `sweep.seeds=auto` stands for."""


def compose_sweep(
    overrides: Sequence[str], choose_seeds: SeedChooser | None = None
) -> tuple[SweepConfig, Launcher, list[RunConfig]]:
    """A sweep, its launcher and its cells, seed by seed so that early results are comparable.

    `choose_seeds` answers `sweep.seeds=auto`, which is refused without it.
    """
    refuse(overrides, NOT_OF_A_SWEEP)
    composed = compose(of_the_sweep(overrides))
    if composed.seed:
        raise UserError(f"seed={composed.seed} has no effect: {NOT_OF_A_SWEEP['seed']}")
    if "name" not in composed.sweep:
        raise UserError(f"no sweep chosen: add +sweep=NAME, one of {', '.join(group_options('sweep'))}")
    options = plain_of(composed)["sweep"]
    # OmegaConf can't fill a frozen dataclass inside another: the knobs are made first and put in.
    space = {o: typed(Knob, knob, f"sweep.space.{o}") for o, knob in options.pop("space", {}).items()}
    places = environments(options, overrides)
    if options["seeds"] == UNTIL_DECIDED:
        options |= seeds_until_decided(options)
    sweep = typed(SweepConfig, {**options, "seeds": resolve_seeds(options, places, choose_seeds)}, "sweep")
    sweep = replace(sweep, space=space)
    _check_space(sweep)
    launcher = launcher_config(plain_of(composed)["launcher"])
    bases = [{name: _base(name, place) for name in sweep.algorithms} for place in places]
    _check_matched(sweep, bases)
    if sweep.tuned and not sweep.trials:
        defaults = {algorithm: _run(base, algorithm) for algorithm, base in bases[0].items()}
        version = defaults[sweep.algorithms[0]].env.version
        plain = {algorithm: to_plain(run) for algorithm, run in defaults.items()}
        sweep = replace(sweep, tuned=str(find(sweep.tuned, plain, version, sweep.seeds)))
    arms = [
        run
        for each in bases
        for arm in sweep_arms(sweep)
        for run in _runs(arm, each[arm.algorithm], sweep.crossed)
    ]
    if not arms:
        raise UserError("sweep.crossed leaves no arm: every combination clashes")
    if len(arms) > len(places) and any(arm.rollout.overlap for arm in arms):
        raise UserError(
            f"rollout.overlap=true clashes with a sweep of {len(arms) // len(places)} arms: each must train "
            "on its present policy's rollouts to be compared; leave it out, or name one algorithm"
        )
    # Seed 0 first for all arms, so that early results are comparable.
    cells = [replace(arm, seed=integer(seed, "seed")) for seed in sweep.seeds for arm in arms]
    _check_tasks(sweep, cells)
    _check_dial(sweep, cells)
    _check_looks(sweep, cells)
    return sweep, launcher, cells


def environments(options: Mapping[str, Any], overrides: Sequence[str]) -> list[list[str]]:
    """The overrides that compose a run on each of a sweep's environments; `options`: the sweep's, untyped."""
    if not options["envs"]:
        return [list(overrides)]
    if not isinstance(options["envs"], list):
        raise UserError(f"sweep.envs={options['envs']} must be a list, e.g. [vault,household]")
    if chosen := [override for override in overrides if override.startswith("env=")]:
        raise UserError(
            f"{chosen[0]} clashes with sweep.envs={options['envs']}: set sweep.envs=[] for one environment"
        )
    own = [own_options(str(entry), "env") for entry in options["envs"]]
    if given := [override for override in overrides if override.lstrip("+").startswith(LIMIT)]:
        for entry, each in zip(options["envs"], own, strict=True):
            if has_limit(each):
                raise UserError(
                    f"{given[-1]} has no effect on {entry!r}, which has its own: set sweep.envs=[...]"
                )
    return [[*overrides, *each] for each in own]


def has_limit(words: Sequence[str]) -> bool:
    """Whether an environment's entry declares a budget of its own."""
    return any(word.startswith(LIMIT) for word in words)


def seeds_until_decided(options: Mapping[str, Any]) -> dict[str, Any]:
    """What `sweep.seeds=until_decided` stands for: the most seeds, which looks may end before."""
    most = integer(options.get("max_seeds") or MOST_SEEDS, "sweep.max_seeds")
    if most < LOOKS[0]:
        raise UserError(f"sweep.max_seeds={most} must be {LOOKS[0]} or more: fewer seeds decide nothing")
    return {"seeds": list(range(most)), "max_seeds": most}


def resolve_seeds(
    options: dict[str, Any], places: Sequence[Sequence[str]], choose_seeds: SeedChooser | None
) -> list[Any]:
    """A sweep's seeds, `auto` replaced by those that it stands for; `places`: see `environments`."""
    if options["seeds"] == AUTO:
        if choose_seeds is None:
            raise UserError("sweep.seeds=auto is for harness.sweep and harness.doctor: name the seeds")
        sweep = typed(SweepConfig, {**options, "seeds": [0]}, "sweep")
        return choose_seeds(sweep, dict(_settings(place, sweep, i) for i, place in enumerate(places)))
    if not isinstance(options["seeds"], list):
        raise UserError(
            f"sweep.seeds={options['seeds']} must be a list, e.g. [0,1,2], auto or {UNTIL_DECIDED}"
        )
    for option in ("pilot", "effect"):
        if options[option] not in ("", SweepConfig.effect):
            raise UserError(
                f"sweep.{option}={options[option]} is read with sweep.seeds=auto alone: set both, or none"
            )
    return options["seeds"]


def _settings(place: Sequence[str], sweep: SweepConfig, number: int) -> tuple[str, dict[str, dict[str, Any]]]:
    """An environment's name, and its options and the model's there."""
    plain = plain_of(compose([override for override in place if not override.startswith("algorithm.")]))
    env, model = targeted(plain["env"], "env"), targeted(plain["model"], "model")
    name = sweep.envs[number] if sweep.envs else env.name
    return name, {"env": to_options(env), "model": to_options(model)}


def _base(algorithm: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Composed configuration of `NAME [OPTION=VALUE ...]`, seedless; `SECTION.OPTION` may be any of a run."""
    chosen, *options = own_options(algorithm, "algorithm")
    for option in options:
        section = option.partition(".")[0]
        if section not in PARTS:
            raise UserError(
                f"{option.partition('=')[0]} is not an option of an arm{suggest(section, PARTS)} "
                f"(arm {algorithm})"
            )
    return plain_of(compose([*overrides, chosen, *options]))


def _runs(arm: Arm, base: dict[str, Any], crossed: Mapping[str, Sequence[str]]) -> list[RunConfig]:
    """The configurations of an arm with every combination of crossed options.

    What is wrong with one names it; combinations that clash are left out of a crossing.
    """
    choices = [[(f"algorithm.{option}", value) for value in values] for option, values in crossed.items()]
    found = []
    for combination in product(*choices):
        name = " ".join([arm.name, *(f"{o.removeprefix('algorithm.')}={v}" for o, v in combination)])
        try:
            found.append(_run(with_options(base, {**arm.options, **dict(combination)}), name))
        except Clash:
            if not crossed:
                raise
    return found


def _run(plain: dict[str, Any], arm: str) -> RunConfig:
    """The typed configuration of an arm; what is wrong with it names the arm."""
    try:
        return run_config(plain)
    except UserError as error:
        raise type(error)(f"{error} (arm {arm})") from error


def with_options(plain: dict[str, Any], options: Mapping[str, object]) -> dict[str, Any]:
    """A copy of a plain configuration with options, each `SECTION.OPTION`, set."""
    changed = {name: dict(part) if isinstance(part, dict) else part for name, part in plain.items()}
    for option, value in options.items():
        section, _, name = option.partition(".")
        if section not in PARTS:
            raise UserError(f"sweep.space: {option} is not an option of a run{suggest(section, PARTS)}")
        changed[section][name] = value
    return changed


def _check_dial(sweep: SweepConfig, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` unless the environments differ in the dial, a number."""
    if not sweep.dial:
        return
    found = [getattr(env, sweep.dial, None) for env in dict.fromkeys(cell.env for cell in cells)]
    numbers = [each for each in found if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) < len(found):
        raise UserError(f"sweep.dial={sweep.dial} is not a number that every environment of the sweep has")
    if len(found) < 2 or len(set(numbers)) < len(found):
        name = cells[0].env.name
        raise UserError(
            f"sweep.dial={sweep.dial} must differ between the environments: write "
            + in_shell(f"sweep.envs=[{name},'{name} {sweep.dial}=VALUE']")
        )


def _check_looks(sweep: SweepConfig, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if seeds end when comparisons are decided, and there are none."""
    if not sweep.looks or sweep.contrasts:
        return
    units = {to_plain(cell)["algorithm"].get("credit_unit") for cell in cells if not cell.algorithm.control}
    if "step" not in units or len(units) < 2:
        raise UserError(
            "sweep.seeds=until_decided has nothing to decide: declare sweep.contrasts, or name algorithms "
            "with credit per step and others, which are pooled by their credit unit"
        )


def _check_space(sweep: SweepConfig) -> None:
    """Raise `UserError` for trials without a space, or a space without trials."""
    if (sweep.trials > 0) != bool(sweep.space):
        raise UserError(
            f"sweep.trials={sweep.trials} clashes with sweep.space={sorted(sweep.space)}: "
            "a tuning needs both, a comparison neither"
        )


def _check_matched(sweep: SweepConfig, bases: Sequence[Mapping[str, dict[str, Any]]]) -> None:
    """Raise `UserError` if a sweep's environments are the same one, or differ beyond their own options.

    Budgets may differ where both environments declare theirs: a longer response costs more FLOPs a step.

    `bases`: by environment, each algorithm's plain configuration.
    """
    for (first, one), (second, other) in combinations(zip(sweep.envs, bases, strict=False), 2):
        for algorithm, plain in one.items():
            if targeted(plain["env"], "env") == targeted(other[algorithm]["env"], "env"):
                raise UserError(f"sweep.envs: {first!r} and {second!r} are the same environment")
            for part, option in ((each, option) for each in MATCHED for option in plain[each]):
                here, there = plain[part][option], other[algorithm][part][option]
                limits = [has_limit(e.split()) for e in (first, second) if f"{part}.{option}=" == LIMIT]
                if here != there and not (limits and all(limits)):
                    in_entries = "declare it in both entries, or in none"
                    mend = in_entries if any(limits) else f"add {part}.{option}=VALUE"
                    raise UserError(
                        f"sweep.envs: {part}.{option} is {shown(here)} on {first} and {shown(there)} on "
                        f"{second}, and has to be the same: {mend}"
                    )


def _check_tasks(sweep: SweepConfig, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` if a tuning would use a comparison's tasks, or a comparison those of tuning."""
    for cell in cells:
        if sweep.trials and cell.env.tasks is not TaskSet.tuning:
            raise UserError(
                f"env.tasks={cell.env.tasks.value} clashes with sweep.trials={sweep.trials}: trials must not "
                "see the tasks of comparisons, choose env.tasks=tuning"
            )
        if not sweep.trials and cell.env.tasks is TaskSet.tuning:
            raise UserError("env.tasks=tuning is for tuning alone: leave it out, or add +sweep=tune")
