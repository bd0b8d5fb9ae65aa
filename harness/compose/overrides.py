"""A configuration as the command line that composes it."""

from functools import cache
from typing import Any

from omegaconf import OmegaConf

from harness.cells import PARTS
from harness.compose import compose_run
from harness.compose.composing import CONFIG_DIR, group_options, quoted
from harness.config import PretrainedModel
from harness.config.plain import targeted, to_options, to_plain
from harness.config.schema import RunConfig


def overrides_of(config: RunConfig) -> list[str]:
    """What `compose_run` turns back into `config`: its groups, and what differs from their defaults."""
    algorithm, env = config.algorithm.name, config.env.name
    model = group_of(config)
    chosen = [f"algorithm={algorithm}", f"env={env}", f"model={model}"]
    defaults, plain = {**default(env, model), "algorithm": algorithm_default(algorithm)}, to_plain(config)
    differing = [
        f"{part}.{option}={text(value)}"
        for part in PARTS
        for option, value in plain[part].items()
        if defaults[part].get(option) != value
    ]
    return [*chosen, *differing, f"seed={config.seed}"]


def group_of(config: RunConfig) -> str:
    """The `model=NAME` that a run began with: its model's name, or `pretrained` for one of the user's."""
    own = isinstance(config.model, PretrainedModel) and config.model.name not in group_options("model")
    return PretrainedModel.name if own else config.model.name


@cache
def default(env: str, model: str) -> dict[str, Any]:
    """The plain configuration of an environment and a model; composing takes its time."""
    if model != PretrainedModel.name:
        return to_plain(compose_run([f"env={env}", f"model={model}"]))
    plain = to_plain(compose_run([f"env={env}", f"model={model}", "model.source=any"]))
    del plain["model"]["source"]  # it has no default, so it is always named
    return plain


@cache
def algorithm_default(name: str) -> dict[str, Any]:
    """An algorithm's options, by its YAML, which sets nothing else."""
    node = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "algorithm" / f"{name}.yaml"))
    assert isinstance(node, dict)
    options = {str(option): value for option, value in node.items()}
    return {"_target_": options["_target_"], **to_options(targeted(options, "algorithm"))}


def text(value: object) -> str:
    """A value as Hydra's grammar reads it."""
    if isinstance(value, list):
        return f"[{','.join(text(each) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return quoted(value)
    return "null" if value is None else str(value)
