"""Hydra composes; dataclasses check. Every mistake becomes one line (`UserError`)."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from enum import Enum
from itertools import product
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from algorithms.factors import Clash
from harness.config.schema import (
    BatchConfig,
    BudgetConfig,
    EvaluationConfig,
    LauncherConfig,
    ModelConfig,
    RunConfig,
    SweepConfig,
)
from harness.errors import UserError

CONFIG_DIR = Path(__file__).resolve().parents[2] / "sweeps"
SECTIONS: dict[str, type] = {
    "model": ModelConfig,
    "batch": BatchConfig,
    "budget": BudgetConfig,
    "evaluation": EvaluationConfig,
}


def compose(overrides: Sequence[str]) -> DictConfig:
    """The composed configuration of `sweeps/config.yaml` with Hydra overrides."""
    with hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        try:
            return hydra.compose("config", overrides=list(overrides))
        except (HydraException, OmegaConfBaseException) as error:
            unknown = re.search(r"Could not override '([\w.]+)'", str(error))
            text = _unknown_option(unknown[1], overrides) if unknown else explain(error)
            raise UserError(text) from error


def compose_run(overrides: Sequence[str]) -> RunConfig:
    """The typed configuration of one run."""
    return run_config(_plain(compose(overrides)))


def compose_sweep(overrides: Sequence[str]) -> tuple[SweepConfig, LauncherConfig, list[RunConfig]]:
    """A sweep, its launcher and its cells, seed by seed so that early results are comparable."""
    # Options of an algorithm are for the arms, each of which composes them with its own algorithm.
    composed = compose([override for override in overrides if not override.startswith("algorithm.")])
    if "sweep" not in composed:
        raise UserError(f"no sweep chosen: add +sweep=NAME, one of {', '.join(group_options('sweep'))}")
    sweep = typed(SweepConfig, _plain(composed)["sweep"], "sweep")
    launcher = typed(LauncherConfig, _plain(composed)["launcher"], "launcher")
    arms = [run for algorithm in sweep.algorithms for run in _arms(algorithm, sweep.crossed, overrides)]
    if not arms:
        raise UserError("sweep.crossed leaves no arm: every combination clashes")
    # Seed 0 first for all arms, so that early results are comparable.
    cells = [replace(arm, seed=_integer(seed, "seed")) for seed in sweep.seeds for arm in arms]
    return sweep, launcher, cells


def _arms(algorithm: str, crossed: Mapping[str, Sequence[str]], overrides: Sequence[str]) -> list[RunConfig]:
    """The configurations of `NAME [OPTION=VALUE ...]` with every combination of crossed options, seedless.

    What is wrong with one names it; combinations that clash are left out of a crossing.
    """
    name, *own = algorithm.split()
    choices = [[f"{option}={value}" for value in values] for option, values in crossed.items()]
    base = _plain(compose([*overrides, f"algorithm={name}", *(f"algorithm.{each}" for each in own)]))
    found = []
    for combination in product(*choices):
        plain = {
            **base,
            "algorithm": {**base["algorithm"], **dict(each.split("=", 1) for each in combination)},
        }
        try:
            found.append(run_config(plain))
        except Clash as error:
            if not crossed:
                raise UserError(f"{error} (arm {algorithm})") from error
        except UserError as error:
            raise UserError(f"{error} (arm {' '.join([algorithm, *combination])})") from error
    return found


def run_config(plain: dict[str, Any]) -> RunConfig:
    """The typed configuration from plain data, as `to_plain` gives it."""
    sections = {name: typed(cls, plain[name], name) for name, cls in SECTIONS.items()}
    return RunConfig(
        algorithm=_targeted(plain["algorithm"], "algorithm"),
        env=_targeted(plain["env"], "env"),
        seed=_integer(plain["seed"], "seed"),
        **sections,
    )


def to_plain(config: RunConfig) -> dict[str, Any]:
    """JSON-able data that `run_config` turns back into an equal configuration."""
    plain: dict[str, Any] = {"seed": config.seed}
    for name in ("algorithm", "env", *SECTIONS):
        part = getattr(config, name)
        plain[name] = {option: json_able(value) for option, value in asdict(part).items()}
        if name in ("algorithm", "env"):
            plain[name]["_target_"] = f"{type(part).__module__}.{type(part).__qualname__}"
    return plain


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
    if "." not in key and (CONFIG_DIR / key).is_dir():
        return f"{key} is not chosen by default: write +{key}=NAME, one of {', '.join(group_options(key))}"
    composed = hydra.compose("config", [each for each in overrides if not each.startswith(f"{key}=")])
    parent, _, name = key.rpartition(".")
    section = OmegaConf.select(composed, parent) if parent else None
    node = section if isinstance(section, DictConfig) else composed
    known = [str(option) for option in node if option != "_target_"]
    arm = " of " + node._target_.rpartition(".")[2] if parent == "algorithm" else ""
    return f"{key} is not an option{arm}{suggest(name, known)}"


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


def _targeted(node: dict[str, Any], where: str) -> Any:
    values = dict(node)
    return typed(get_class(values.pop("_target_")), values, where)


def _integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{where}={value} must be a whole number")
    return value
