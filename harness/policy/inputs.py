"""What a cell reads besides its configuration, known by its content: the configuration says where it is."""

from collections.abc import Iterable
from pathlib import Path

from envs.base import EnvironmentSpec
from harness.config.model import ModelConfig, PretrainedModel
from harness.policy.source import locate, model_files, sha256
from harness.store.checksums import content_hash


def inputs_of(model: ModelConfig, env: EnvironmentSpec) -> dict[str, str]:
    """SHA-256 of the model's and the tasks' files, by what a message calls them; those that there are."""
    found = {}
    if isinstance(model, PretrainedModel):
        found[f"model.source={model.source}"] = content(model_files(locate(model)))
    if files := env.files():
        found[f"env={env.name}"] = content(files)
    return found


def content(files: Iterable[Path]) -> str:
    """SHA-256 of files' names and contents."""
    return content_hash(sorted([path.name, sha256(path)] for path in files))
