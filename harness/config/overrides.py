"""A configuration as the command line that composes it."""

from functools import cache
from typing import Any

from harness.cells import PARTS
from harness.config.compose import compose_run, to_plain
from harness.config.schema import RunConfig


def overrides_of(config: RunConfig) -> list[str]:
    """What `compose_run` turns back into `config`: its groups, and what differs from their defaults."""
    groups = {part: getattr(config, part).name for part in ("algorithm", "env", "model")}
    chosen = [f"{group}={name}" for group, name in groups.items()]
    defaults, plain = default(tuple(chosen)), to_plain(config)
    differing = [
        f"{part}.{option}={text(value)}"
        for part in PARTS
        for option, value in plain[part].items()
        if defaults[part].get(option) != value
    ]
    return [*chosen, *differing, f"seed={config.seed}"]


@cache
def default(overrides: tuple[str, ...]) -> dict[str, Any]:
    """The plain configuration that these overrides give; composing takes its time."""
    return to_plain(compose_run(overrides))


def text(value: object) -> str:
    """A value as Hydra's grammar reads it."""
    if isinstance(value, list):
        return f"[{','.join(text(each) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
