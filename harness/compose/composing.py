"""Hydra composes `sweeps/` and the command line's overrides. Every mistake becomes one line (`UserError`)."""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import fields
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from envs.base import EnvironmentSpec
from harness.cells import PARTS
from harness.config import plain
from harness.config.classes import class_of
from harness.config.plain import TARGETED, run_config, targeted, typed
from harness.config.schema import RunConfig
from harness.config.sweep import SweepConfig, TrackerConfig
from harness.errors import UserError, suggest

CONFIG_DIR = Path(__file__).resolve().parents[2] / "sweeps"
OF_ARMS = ("algorithm.", "env.")
"""Overrides of these apply to each arm, not to the sweep itself."""
SECTIONS = (*PARTS, "launcher", "tracker")
"""The parts of a composed configuration that are tables of options."""
KEYS = (*SECTIONS, "sweep", "seed", "wait", "cancel")
"""All that anything reads of a composed configuration."""
HYDRA = "Hydra's own options are for harness.multirun"
NOT_OF_A_RUN = {
    "sweep.": "it is for harness.sweep, a run has algorithm=NAME and seed=N",
    **dict.fromkeys(("launcher", "launcher."), "it is for harness.sweep, a run is computed here and now"),
    **dict.fromkeys(("tracker", "tracker.", "wait", "cancel"), "it is for harness.sweep"),
}
"""What a single run does not read, and why."""


def compose(overrides: Sequence[str]) -> DictConfig:
    """The composed configuration of `sweeps/config.yaml` with Hydra overrides."""
    parsed = parse(overrides)
    composed = with_values(parsed)
    if composed is None:
        with hydra_here():
            composed = composed_of([settable(each) for each in parsed])
    check_keys(composed)
    return composed


def hydra_here() -> AbstractContextManager[object]:
    """Where Hydra composes `sweeps/`."""
    return hydra.initialize_config_dir(str(CONFIG_DIR), version_base="1.3")


def with_values(parsed: Sequence[Override]) -> DictConfig | None:
    """The files that are chosen, composed once, with the values set in them as Hydra does.

    The arms of a sweep choose the same few files, and Hydra reads all anew for each. None: not all of the
    overrides are such, or something is wrong with them, which Hydra says best.
    """
    choices: list[Override] = []
    values: list[Override] = []
    for each in parsed:
        plain = not (each.is_delete() or each.is_add()) or each.key_or_group in ("sweep", *OPTIONAL)
        if not plain or each.package is not None or each.key_or_group.startswith("hydra"):
            return None
        (choices if each.key_or_group in groups() else values).append(each)
    try:
        composed = deepcopy(chosen(tuple(map(settable, choices)), written_last()))
        for each in values:
            set_value(composed, each)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError):
        return None
    return composed


def set_value(composed: DictConfig, override: Override) -> None:
    """Set one value; an option that a class has and its file leaves out may be set all the same."""
    key, value = override.key_or_group, override.value()
    adds = settable(override).startswith("++")
    try:
        OmegaConf.update(composed, key, value, merge=True, force_add=adds)
    except (ConfigAttributeError, ConfigKeyError):
        if not has_option(key, lambda: composed):
            raise
        OmegaConf.update(composed, key, value, merge=True, force_add=True)


@lru_cache(maxsize=256)
def chosen(choices: tuple[str, ...], written: int) -> DictConfig:
    """What Hydra composes of files; `written`: when the last of them was."""
    with hydra_here():
        return hydra.compose("config", overrides=[*choices])


def written_last() -> int:
    """When a file of `sweeps/` was written last, in nanoseconds."""
    return max(path.stat().st_mtime_ns for path in (CONFIG_DIR, *CONFIG_DIR.rglob("*")))


def composed_of(written: Sequence[str]) -> DictConfig:
    """What Hydra composes; an option that a class has and its file leaves out may be set all the same."""
    try:
        return hydra.compose("config", overrides=[*written])
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        unknown = re.search(r"Could not override '([\w.]+)'", str(error))
        if unknown is None:
            raise UserError(explain(error)) from error
        key = unknown[1]
        if not has_option(key, lambda: hydra.compose("config", groups_of(written))):
            raise UserError(_unknown_option(key, written)) from error
        return composed_of([f"++{each}" if each.startswith(f"{key}=") else each for each in written])


def has_option(key: str, composed: Callable[[], DictConfig]) -> bool:
    """Whether the class that a part of a composed run chooses has this option."""
    part, _, name = key.rpartition(".")
    cls = plain.SECTIONS.get(part)
    if part in TARGETED:
        cls = class_of(composed()[part]._target_, part)
    return cls is not None and name in [field.name for field in fields(cls)]


def parse(overrides: Sequence[str]) -> list[Override]:
    """The command line's overrides as Hydra reads them. Raises `UserError` for one that it can't read."""
    return [parse_one(text) for text in overrides]


def parse_one(text: str) -> Override:
    """One override as Hydra reads it; raises `UserError` with the right quoting if it can't."""
    key, equals, value = text.partition("=")
    if not equals and not text.startswith("~"):
        raise UserError(f"{text} is not KEY=VALUE")
    if value.startswith("~"):
        raise UserError(f"{text}: no shell replaces this ~, write {key}=$HOME{value[1:]}")
    try:
        override: Override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise UserError(f"{text} can't be read: {requoted(key, value)}") from error
    key = override.key_or_group
    chooses = key in groups()
    if override.is_delete() and key in KEYS:
        raise UserError(f"{text} takes away what everything has: leave it out")
    if override.is_sweep_override():
        one = f"choose one {key}" if chooses else "write " + in_shell(f"{key}=[{re.sub('[][]', '', value)}]")
        raise UserError(f"{text} has several values: {one}")
    if chooses and not isinstance(override.value(), str):
        raise UserError(f"{text} chooses nothing{suggest(value, group_options(key))}")
    return override


def requoted(key: str, value: str) -> str:
    """How to write an override that Hydra's grammar can't read."""
    if value.startswith("[") and value.endswith("]"):
        value = f"[{','.join(quoted(each.strip()) for each in value[1:-1].split(','))}]"
    else:
        value = quoted(value)
    mended = f"{key}={value}"
    try:
        OverridesParser.create().parse_override(mended)
    except HydraException:
        return "quotes or brackets that are not closed?"
    return f"signs like = and blanks need quotes, write {in_shell(mended)}"


def quoted(text: str) -> str:
    """A text as Hydra's grammar reads it."""
    if re.fullmatch(r"[A-Za-z_][\w./+-]*|-?\d+", text) and text.lower() not in NO_TEXT:
        return text
    return "'" + re.sub(r"(\\*)(?='|$)", r"\1\1", text).replace("'", r"\'") + "'"


NO_TEXT = ("true", "false", "null", "nan", "inf")
"""What Hydra's grammar takes for something else."""


def in_shell(text: str) -> str:
    """A word as a shell reads it, in double quotes if these suffice."""
    return f'"{text}"' if not set(text) & set('"$`\\!') else shlex.quote(text)


def groups_of(written: Sequence[str]) -> list[str]:
    """The overrides that choose files, and set no single option."""
    return [each for each in written if "." not in each.partition("=")[0]]


def settable(override: Override) -> str:
    """The override for Hydra: what may be left out of a file can be set all the same, with or without `+`."""
    text, key = str(override.input_line), override.key_or_group
    if override.is_delete():
        return text
    if key in OPTIONAL or any(key.startswith(f"{each}.") for each in OPTIONAL):
        return "++" + text.lstrip("+")
    # Hydra's "+" is for groups that the defaults lack; sweep is among them, so that sweeps/fit can see it.
    return text.lstrip("+") if key == "sweep" else text


OPTIONAL = (*(f"sweep.{field.name}" for field in fields(SweepConfig)), "launcher.sbatch")
"""Options that a sweep's file need not have, and a table that takes any key."""


def check_keys(composed: DictConfig) -> None:
    """Raise `UserError` for a key that nothing reads, and for a part that is missing."""
    for name in composed:
        if name not in KEYS:
            raise UserError(f"{name!s} is not an option{suggest(str(name), KEYS)}")
    for name in KEYS:
        if name not in composed:
            raise UserError(f"{name} is missing")
    for name in SECTIONS:
        if not isinstance(composed[name], DictConfig):
            raise UserError(f"{name}={composed[name]} is not a table of options: set {name}.OPTION=VALUE")


def refuse(overrides: Sequence[str], unread: Mapping[str, str]) -> None:
    """Raise `UserError` for an override that nothing reads.

    `unread`: by key, or by a prefix that ends in a dot, why and what to write instead.
    """
    for override in parse(overrides):
        key = override.key_or_group
        if key.startswith(("hydra.", "hydra/")) and key != "hydra.searchpath":
            raise UserError(f"{override.input_line} has no effect: {HYDRA}")
        for name, why in unread.items():
            if key == name or (name.endswith(".") and key.startswith(name)):
                raise UserError(f"{override.input_line} has no effect: {why}")


def of_the_sweep(overrides: Sequence[str]) -> list[str]:
    """The overrides without those that apply to each arm."""
    return [each for each in overrides if not each.lstrip("+~").startswith(OF_ARMS)]


def compose_run(overrides: Sequence[str]) -> RunConfig:
    """The typed configuration of one run."""
    refuse(overrides, NOT_OF_A_RUN)
    return composed_run(compose(overrides))


def composed_run(composed: DictConfig) -> RunConfig:
    """The typed configuration of the run that Hydra composed."""
    check_keys(composed)
    return run_config(plain_of(composed))


def compose_environment(words: Sequence[str]) -> EnvironmentSpec:
    """The environment of `NAME [env.OPTION=VALUE ...]` alone: no model has to be able to play it."""
    if not words or "=" in words[0]:
        raise UserError(f"name an environment first; there are {', '.join(group_options('env'))}")
    name, *overrides = words
    for override in parse(overrides):
        if not override.key_or_group.startswith("env."):
            raise UserError(f"{override.input_line} has no effect: an environment has env.OPTION=VALUE alone")
    environment: EnvironmentSpec = targeted(plain_of(compose([f"env={name}", *overrides]))["env"], "env")
    return environment


def compose_tracker(overrides: Sequence[str]) -> TrackerConfig:
    """The tracker of a sweep, which is not part of its cells."""
    composed = compose(of_the_sweep(overrides))
    tracker: TrackerConfig = typed(TrackerConfig, plain_of(composed)["tracker"], "tracker")
    return tracker


@cache
def groups() -> frozenset[str]:
    """The names that `NAME=OPTION` chooses a file of."""
    return frozenset(path.name for path in CONFIG_DIR.iterdir() if path.is_dir() and path.name != "tuned")


def group_options(group: str) -> list[str]:
    """The names that `GROUP=NAME` accepts."""
    return sorted(path.stem for path in (CONFIG_DIR / group).glob("*.yaml"))


def explain(error: Exception) -> str:
    """Hydra's and OmegaConf's many-line messages as one line that names what exists."""
    text = str(error)
    if wrong := re.search(r"Could not (?:find|load) '(\w+)/([^']+)'", text):
        group, name = wrong.groups()
        return f"{group}={name} does not exist{suggest(name, group_options(group))}"
    return plain.explain(error)


def _unknown_option(key: str, overrides: Sequence[str]) -> str:
    """What to write instead of an override whose key does not exist (for every arm of a sweep)."""
    root = key.partition(".")[0]
    if root not in KEYS:
        return f"{root} is not an option{suggest(root, KEYS)}"
    parent, _, name = key.rpartition(".")
    if parent == "sweep":
        return f"{key} is not an option{suggest(name, [field.name for field in fields(SweepConfig)])}"
    composed = hydra.compose("config", groups_of(overrides))
    section = OmegaConf.select(composed, parent)
    known = [str(option) for option in section or () if option != "_target_"]
    owner = " of " + section._target_.rpartition(".")[2] if parent in TARGETED else ""
    return f"{key} is not an option{owner}{suggest(name, known)}"


def plain_of(config: DictConfig) -> dict[str, Any]:
    """A composed configuration as plain data, interpolations resolved."""
    try:
        content = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    assert isinstance(content, dict)
    return {str(name): value for name, value in content.items()}


def own_options(entry: str, group: str) -> list[str]:
    """The overrides of `NAME [OPTION=VALUE ...]`: an option without a dot is the group's."""
    name, *own = entry.split()
    options = [each if "." in each.partition("=")[0] else f"{group}.{each}" for each in own]
    return [f"{group}={name}", *options]
