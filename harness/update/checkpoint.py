"""Tensors of a checkpoint, as safetensors."""

from pathlib import Path

from safetensors.torch import load_file, save
from torch import Tensor, nn

from harness.policy.model import load_weights, weights
from harness.store.files import write_durably

MODEL = ".safetensors"
OPTIMIZER = "-optimizer.safetensors"


def has_model(folder: Path, name: str) -> bool:
    """Whether a model was saved under this name."""
    return (folder / f"{name}{MODEL}").exists()


def save_model(folder: Path, name: str, model: nn.Module) -> None:
    """Save the tensors that a checkpoint needs: all of them, or with LoRA only the adapters and heads."""
    write_durably(folder / f"{name}{MODEL}", save(weights(model)))


def load_model(folder: Path, name: str, model: nn.Module) -> None:
    """The inverse of `save_model`."""
    load_weights(model, load_file(folder / f"{name}{MODEL}"))


def save_moments(folder: Path, name: str, moments: dict[str, Tensor]) -> None:
    """An optimiser's state."""
    write_durably(folder / f"{name}{OPTIMIZER}", save(moments))


def load_moments(folder: Path) -> dict[str, dict[str, Tensor]]:
    """Every optimiser's state that was saved, by name."""
    found = sorted(folder.glob(f"*{OPTIMIZER}"))
    return {path.name.removesuffix(OPTIMIZER): load_file(path) for path in found}
