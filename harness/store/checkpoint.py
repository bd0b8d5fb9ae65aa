"""Tensors of a checkpoint, as safetensors."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from harness.policy.model import load_weights, weights
from harness.store.files import write_durably


def save_model(
    folder: Path, name: str, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """A model, and its optimiser's moments if it is trained."""
    write_durably(folder / f"{name}.safetensors", save(weights(model)))
    if optimizer is None:
        return
    moments = optimizer.state_dict()["state"]
    flat = {f"{index}.{key}": tensor for index, entry in moments.items() for key, tensor in entry.items()}
    write_durably(folder / f"{name}-optimizer.safetensors", save(flat))


def load_model(
    folder: Path, name: str, model: nn.Module, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """The inverse of `save_model`."""
    load_weights(model, load_file(folder / f"{name}.safetensors"))
    if optimizer is None:
        return
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / f"{name}-optimizer.safetensors").items():
        index, moment = key.split(".")
        state.setdefault(int(index), {})[moment] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
