"""Tensors of a checkpoint, as safetensors."""

from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor, nn

from harness.policy.model import load_weights, weights
from harness.store.files import write_durably


def save_model(folder: Path, name: str, model: nn.Module) -> None:
    """What tells a model from others of its configuration."""
    write_durably(folder / f"{name}.safetensors", save(weights(model)))


def load_model(folder: Path, name: str, model: nn.Module) -> None:
    """The inverse of `save_model`."""
    load_weights(model, load_file(folder / f"{name}.safetensors"))


def save_moments(folder: Path, name: str, moments: dict[str, Tensor]) -> None:
    """An optimiser's state."""
    write_durably(folder / f"{name}-optimizer.safetensors", save(moments))


def load_moments(folder: Path, name: str) -> dict[str, Tensor]:
    """The inverse of `save_moments`."""
    return load_file(folder / f"{name}-optimizer.safetensors")
