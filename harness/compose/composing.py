"""Hydra composes `sweeps/` and the command line's overrides. Every mistake becomes one line (`UserError`)."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.config import plain
from harness.config.plain import TARGETED, run_config, typed
from harness.config.schema import RunConfig, TrackerConfig
from harness.errors import UserError, suggest

CONFIG_DIR = Path(__file__).resolve().parents[2] / "sweeps"
OF_ARMS = ("algorithm.", "env.")
"""Overrides with these prefixes apply to each arm, not to the sweep itself."""


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
    return run_config(plain_of(composed))


def compose_tracker(overrides: Sequence[str]) -> TrackerConfig:
    """The tracker of a sweep, which is no part of its cells."""
    composed = compose([override for override in overrides if not override.startswith(OF_ARMS)])
    tracker: TrackerConfig = typed(TrackerConfig, plain_of(composed)["tracker"], "tracker")
    return tracker


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
    composed = hydra.compose("config", [each for each in overrides if not each.startswith(f"{key}=")])
    parent, _, name = key.rpartition(".")
    section = OmegaConf.select(composed, parent) if parent else None
    node = section if isinstance(section, DictConfig) else composed
    known = [str(option) for option in node if option != "_target_"]
    owner = " of " + node._target_.rpartition(".")[2] if parent in TARGETED else ""
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
