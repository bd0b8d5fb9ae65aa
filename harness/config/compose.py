"""Hydra composes; dataclasses check. Every mistake becomes one line (`UserError`)."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from algorithms.factors import Clash
from envs.base import TaskSet
from harness.cells import PARTS
from harness.config.arms import Arm, sweep_arms
from harness.config.classes import class_of
from harness.config.frozen import find
from harness.config.launchers import LAUNCHERS, Launcher
from harness.config.schema import (
    BatchConfig,
    BudgetConfig,
    EngineConfig,
    EvaluationConfig,
    Knob,
    RolloutConfig,
    RunConfig,
    SweepConfig,
    TrackerConfig,
)
from harness.errors import UserError
from harness.pilot import AUTO, auto_seeds

CONFIG_DIR = Path(__file__).resolve().parents[2] / "sweeps"
SECTIONS: dict[str, type] = {
    "engine": EngineConfig,
    "rollout": RolloutConfig,
    "batch": BatchConfig,
    "budget": BudgetConfig,
    "evaluation": EvaluationConfig,
}
TARGETED = ("algorithm", "env", "model")
"""The parts of a run's configuration that choose their class."""
MATCHED = ("batch", "budget", "evaluation")
"""What the environments of a sweep have in common."""
OF_ARMS = ("algorithm.", "env.")
"""Options that only the arms compose, each with its own algorithm and environment."""


def compose(overrides: Sequence[str]) -> DictConfig:
    """The composed configuration of `sweeps/config.yaml` with Hydra overrides."""
    # Hydra's "+" is for groups that the defaults lack; sweep is among them, so that sweeps/fit can see it.
    overrides = [re.sub(r"^\+(?=sweep=)", "", override) for override in overrides]
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        try:
            return hydra.compose("config", overrides=overrides)
        except (HydraException, OmegaConfBaseException) as error:
            unknown = re.search(r"Could not override '([\w.]+)'", str(error))
            text = _unknown_option(unknown[1], overrides) if unknown else explain(error)
            raise UserError(text) from error


def compose_run(overrides: Sequence[str]) -> RunConfig:
    """The typed configuration of one run."""
    return composed_run(compose(overrides))


def composed_run(composed: DictConfig) -> RunConfig:
    """The typed configuration of the run that Hydra composed."""
    return run_config(_plain(composed))


def compose_sweep(overrides: Sequence[str]) -> tuple[SweepConfig, Launcher, list[RunConfig]]:
    """A sweep, its launcher and its cells, seed by seed so that early results are comparable."""
    composed = compose([override for override in overrides if not override.startswith(OF_ARMS)])
    if "name" not in composed.sweep:
        raise UserError(f"no sweep chosen: add +sweep=NAME, one of {', '.join(group_options('sweep'))}")
    options = _plain(composed)["sweep"]
    # OmegaConf can't fill a frozen dataclass inside another: the knobs are made first and put in.
    space = {o: typed(Knob, knob, f"sweep.space.{o}") for o, knob in options.pop("space", {}).items()}
    places = environments(options, overrides)
    sweep = typed(SweepConfig, {**options, "seeds": resolve_seeds(options, places)}, "sweep")
    sweep = replace(sweep, space=space)
    _check_space(sweep)
    launcher = launcher_config(_plain(composed)["launcher"])
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
    cells = [replace(arm, seed=_integer(seed, "seed")) for seed in sweep.seeds for arm in arms]
    _check_tasks(sweep, cells)
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
    return [[*overrides, *own_options(str(entry), "env")] for entry in options["envs"]]


def own_options(entry: str, group: str) -> list[str]:
    """The overrides of `NAME [OPTION=VALUE ...]`: an option without a dot is the group's."""
    name, *own = entry.split()
    options = [each if "." in each.partition("=")[0] else f"{group}.{each}" for each in own]
    return [f"{group}={name}", *options]


def launcher_config(options: dict[str, Any]) -> Launcher:
    """The typed configuration of a launcher."""
    if options["name"] not in LAUNCHERS:
        raise UserError(
            f"launcher.name={options['name']} does not exist{suggest(options['name'], [*LAUNCHERS])}"
        )
    launcher: Launcher = typed(LAUNCHERS[options["name"]], options, "launcher")
    return launcher


def compose_tracker(overrides: Sequence[str]) -> TrackerConfig:
    """The tracker of a sweep, which is no part of its cells."""
    composed = compose([override for override in overrides if not override.startswith(OF_ARMS)])
    tracker: TrackerConfig = typed(TrackerConfig, _plain(composed)["tracker"], "tracker")
    return tracker


def resolve_seeds(options: dict[str, Any], places: Sequence[Sequence[str]]) -> list[Any]:
    """A sweep's seeds, `auto` replaced by those that it stands for; `places`: see `environments`."""
    if options["seeds"] == AUTO:
        sweep = typed(SweepConfig, {**options, "seeds": [0]}, "sweep")
        return auto_seeds(sweep, dict(_settings(place, sweep, i) for i, place in enumerate(places)))
    if not isinstance(options["seeds"], list):
        raise UserError(f"sweep.seeds={options['seeds']} must be a list, e.g. [0,1,2], or auto")
    if options["pilot"]:
        raise UserError(
            f"sweep.pilot={options['pilot']} is read with sweep.seeds=auto alone: set both, or none"
        )
    return options["seeds"]


def _settings(place: Sequence[str], sweep: SweepConfig, number: int) -> tuple[str, dict[str, dict[str, Any]]]:
    """An environment's name, and its options and the model's there."""
    plain = _plain(compose([override for override in place if not override.startswith("algorithm.")]))
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
    return _plain(compose([*overrides, chosen, *options]))


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


def _check_space(sweep: SweepConfig) -> None:
    """Raise `UserError` for trials without a space, or a space without trials."""
    if (sweep.trials > 0) != bool(sweep.space):
        raise UserError(
            f"sweep.trials={sweep.trials} clashes with sweep.space={sorted(sweep.space)}: "
            "a tuning needs both, a comparison neither"
        )


def _check_matched(sweep: SweepConfig, bases: Sequence[Mapping[str, dict[str, Any]]]) -> None:
    """Raise `UserError` where a sweep's environments are the same one, or differ beyond their own options.

    `bases`: by environment, each algorithm's plain configuration.
    """
    for (first, one), (second, other) in combinations(zip(sweep.envs, bases, strict=False), 2):
        for algorithm, plain in one.items():
            if targeted(plain["env"], "env") == targeted(other[algorithm]["env"], "env"):
                raise UserError(f"sweep.envs: {first!r} and {second!r} are the same environment")
            for part, option in ((each, option) for each in MATCHED for option in plain[each]):
                here, there = plain[part][option], other[algorithm][part][option]
                if here != there:
                    raise UserError(
                        f"sweep.envs: {part}.{option} is {shown(here)} on {first} and {shown(there)} on "
                        f"{second}, and has to be the same: add {part}.{option}=VALUE"
                    )


def _check_tasks(sweep: SweepConfig, cells: Sequence[RunConfig]) -> None:
    """Raise `UserError` where a tuning would use a comparison's tasks, or a comparison those of tuning."""
    for cell in cells:
        if sweep.trials and cell.env.tasks is not TaskSet.tuning:
            raise UserError(
                f"env.tasks={cell.env.tasks.value} clashes with sweep.trials={sweep.trials}: trials must not "
                "see the tasks of comparisons, choose env.tasks=tuning"
            )
        if not sweep.trials and cell.env.tasks is TaskSet.tuning:
            raise UserError("env.tasks=tuning is for tuning alone: leave it out, or add +sweep=tune")


def run_config(plain: dict[str, Any]) -> RunConfig:
    """The typed configuration from plain data, as `to_plain` gives it."""
    sections = {name: _typed_once(cls, json.dumps(plain[name]), name) for name, cls in SECTIONS.items()}
    parts = {name: targeted(plain[name], name) for name in TARGETED}
    return RunConfig(seed=_integer(plain["seed"], "seed"), **parts, **sections)


def to_plain(config: RunConfig) -> dict[str, Any]:
    """JSON-able data that `run_config` turns back into an equal configuration."""
    plain: dict[str, Any] = {"seed": config.seed}
    for name in PARTS:
        part = getattr(config, name)
        plain[name] = to_options(part)
        if name in TARGETED:
            plain[name]["_target_"] = f"{type(part).__module__}.{type(part).__qualname__}"
    return plain


def to_options(part: Any) -> dict[str, Any]:
    """A part's options as JSON-able data."""
    return {option: json_able(value) for option, value in asdict(part).items()}


def typed(cls: type, values: dict[str, Any], where: str) -> Any:
    """An instance of the dataclass `cls` from plain values, types checked and converted."""
    assert is_dataclass(cls)
    known = [field.name for field in fields(cls)]
    for name in values:
        if name not in known:
            raise UserError(f"{where}.{name} is not an option{suggest(name, known)}")
    try:
        built = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), values))
    except OmegaConfBaseException as error:
        raise UserError(f"{where}.{explain(error)}") from error
    for field in fields(cls):
        value = getattr(built, field.name)
        if isinstance(value, list):
            object.__setattr__(built, field.name, tuple(value))
    return built


def suggest(name: str, known: Sequence[str]) -> str:
    """' (did you mean …?)' or the list of what exists."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"


def group_options(group: str) -> list[str]:
    """The names that `GROUP=NAME` accepts."""
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml"))


def explain(error: Exception) -> str:
    """Hydra's and OmegaConf's many-line messages as one line that names what exists."""
    text = str(error)
    if wrong := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        group, name = wrong.groups()
        return f"{group}={name} does not exist{suggest(name, group_options(group))}"
    if wrong := re.match(r"(?s)(.*?)\s*full_key: (\S*)", text):
        return f"{wrong[2]}: {' '.join(wrong[1].split())}"
    return " ".join(text.split())


def _unknown_option(key: str, overrides: Sequence[str]) -> str:
    """What to write instead of an override whose key does not exist (for every arm of a sweep)."""
    composed = hydra.compose("config", [each for each in overrides if not each.startswith(f"{key}=")])
    parent, _, name = key.rpartition(".")
    section = OmegaConf.select(composed, parent) if parent else None
    node = section if isinstance(section, DictConfig) else composed
    known = [str(option) for option in node if option != "_target_"]
    owner = " of " + node._target_.rpartition(".")[2] if parent in TARGETED else ""
    return f"{key} is not an option{owner}{suggest(name, known)}"


def shown(value: object) -> str:
    """An option's value in a message."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def json_able(value: Any) -> Any:
    """An option's value as JSON and YAML hold it."""
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _plain(config: DictConfig) -> dict[str, Any]:
    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}


def targeted(node: Mapping[str, Any], where: str) -> Any:
    """The object that a composed node with a `_target_` describes."""
    values = dict(node)
    cls = class_of(values.pop("_target_"), where)
    return _typed_once(cls, json.dumps(values), where)


@cache
def _typed_once(cls: type, values: str, where: str) -> Any:
    """`typed` of values in JSON: the arms of a sweep share most parts, and OmegaConf takes its time."""
    return typed(cls, json.loads(values), where)


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{where}={value} must be a whole number")
    return value
