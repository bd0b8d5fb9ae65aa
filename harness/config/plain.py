"""Typed configuration from plain data and back. Every mistake becomes one line (`UserError`)."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from envs.base import unset
from harness.cells import PARTS
from harness.config.classes import class_of
from harness.config.launchers import LAUNCHERS, Launcher
from harness.config.prompt import PromptConfig
from harness.config.schema import (
    BatchConfig,
    BudgetConfig,
    EngineConfig,
    EvaluationConfig,
    RolloutConfig,
    RunConfig,
)
from harness.errors import UserError, suggest

SECTIONS: dict[str, type] = {
    "prompt": PromptConfig,
    "engine": EngineConfig,
    "rollout": RolloutConfig,
    "batch": BatchConfig,
    "budget": BudgetConfig,
    "evaluation": EvaluationConfig,
}
TARGETED = ("algorithm", "env", "model")
"""The parts of a run's configuration that choose their class."""


def run_config(plain: dict[str, Any]) -> RunConfig:
    """The typed configuration from plain data, as `to_plain` gives it."""
    sections = {name: _typed_once(cls, json.dumps(plain[name]), name) for name, cls in SECTIONS.items()}
    parts = {name: targeted(plain[name], name) for name in TARGETED}
    return RunConfig(seed=integer(plain["seed"], "seed"), **parts, **sections)


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
    """A part's options as JSON-able data, without those of a later date that are at their defaults."""
    left_out = unset(part)
    return {option: json_able(value) for option, value in asdict(part).items() if option not in left_out}


def typed(cls: type, values: dict[str, Any], where: str) -> Any:
    """An instance of the dataclass `cls` from plain values, types checked and converted."""
    assert is_dataclass(cls)
    known = [field.name for field in fields(cls)]
    for name in values:
        if name not in known:
            raise UserError(f"{where}.{name} is not an option{suggest(name, known)}")
    check_shapes(cls, values, where)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(cls), values)
        check_finite(OmegaConf.to_container(merged), where)
        built = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise UserError(f"{where}.{explain(error)}") from error
    for field in fields(cls):
        value = getattr(built, field.name)
        if isinstance(value, list):
            object.__setattr__(built, field.name, tuple(value))
    return built


def check_shapes(cls: type, values: Mapping[str, Any], where: str) -> None:
    """Raise `UserError` for one value if the dataclass has a list there, or a table."""
    for name, hint in get_type_hints(cls).items():
        value = values.get(name, None)
        if name not in values or isinstance(value, list | tuple | dict):
            continue
        if get_origin(hint) is tuple:
            raise UserError(f"{where}.{name}={value} must be a list, e.g. {where}.{name}=[{value}]")
        if get_origin(hint) is dict:
            raise UserError(f"{where}.{name}={value} must be a table, e.g. {where}.{name}={{KEY: VALUE}}")


def check_finite(value: Any, where: str) -> None:
    """Raise `UserError` for a number that is infinite or not a number: no option of ours may be."""
    if isinstance(value, dict):
        for name, each in value.items():
            check_finite(each, f"{where}.{name}")
    elif isinstance(value, list):
        for each in value:
            check_finite(each, where)
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{where}={value} must be a finite number")


def explain(error: Exception) -> str:
    """OmegaConf's message of many lines as one."""
    text = str(error)
    if wrong := re.match(r"(?s)(.*?)\s*full_key: (\S*)", text):
        return f"{wrong[2]}: {' '.join(wrong[1].split())}"
    return " ".join(text.split())


def shown(value: object) -> str:
    """An option's value in a message."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def json_able(value: Any) -> Any:
    """An option's value as JSON and YAML hold it."""
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def targeted(node: Mapping[str, Any], where: str) -> Any:
    """The object that a composed node with a `_target_` describes."""
    values = dict(node)
    cls = class_of(values.pop("_target_"), where)
    return _typed_once(cls, json.dumps(values), where)


@cache
def _typed_once(cls: type, values: str, where: str) -> Any:
    """`typed`, once for equal values: the arms of a sweep share most parts, and OmegaConf takes its time.

    The values are JSON text, as a key that tells 1 from 1.0 and from true, which hashable tuples do not.
    """
    return typed(cls, json.loads(values), where)


def integer(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"{where}={value} must be a whole number")
    return value


def launcher_config(options: dict[str, Any]) -> Launcher:
    """The typed configuration of a launcher."""
    if options["name"] not in LAUNCHERS:
        raise UserError(
            f"launcher.name={options['name']} does not exist{suggest(options['name'], [*LAUNCHERS])}"
        )
    launcher: Launcher = typed(LAUNCHERS[options["name"]], options, "launcher")
    return launcher
