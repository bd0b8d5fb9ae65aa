"""On which device, and in which numbers, a model multiplies."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.config.model import Device, ModelConfig, Precision
from harness.errors import UserError


@dataclass(frozen=True)
class Placement:
    """A device and the precision of its matrix products. Weights, moments and losses are fp32."""

    device: torch.device
    bf16: bool

    @staticmethod
    def of(model: ModelConfig) -> "Placement":
        """What the configuration means on this machine; raises `UserError` for what it hasn't got."""
        device = torch.device(_device(model))
        if device.type == "cuda" and (found := torch.cuda.device_count()) < model.gpus:
            raise UserError(f"model.gpus={model.gpus}: torch finds {found} here: choose model.gpus={found}")
        has_bf16 = multiplies_bf16(device)
        if model.precision is Precision.bf16 and not has_bf16:
            raise UserError(
                f"model.precision=bf16: this machine's {device.type} would emulate it: choose precision=auto"
            )
        return Placement(device, has_bf16 and model.precision is not Precision.fp32)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Passes inside multiply in the chosen precision. Weights must not change inside: casts are kept."""
        if self.bf16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    def __str__(self) -> str:
        return f"{self.device.type}, {'bf16 autocast' if self.bf16 else 'fp32'}"


@contextlib.contextmanager
def casting_once(weights: Sequence[Tensor]) -> Iterator[None]:
    """No gradients; under autocast, each of these weights is cast once, until autocast is left.

    Autocast keeps the casts of leaves that require gradients, and of no others (the weights beside adapters
    are frozen), and in inference mode it keeps none: a pass for one token would cast the whole model.
    """
    frozen = [weight for weight in weights if not weight.requires_grad] if _casting(weights) else []
    try:
        for weight in frozen:
            weight.requires_grad_(True)
        with torch.no_grad():
            yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def _casting(weights: Sequence[Tensor]) -> bool:
    return bool(weights) and torch.is_autocast_enabled(weights[0].device.type)


def _device(model: ModelConfig) -> str:
    available = torch.cuda.is_available()
    if model.device is Device.cuda and not available:
        raise UserError("model.device=cuda: torch finds no CUDA device here: choose model.device=cpu")
    return "cuda" if available and model.device is not Device.cpu else "cpu"


def multiplies_bf16(device: torch.device) -> bool:
    """Whether the device has instructions for bfloat16 products (CUDA from Ampere; AVX512-BF16 or AMX).

    Emulated, they are some three times slower than fp32. A torch that can't tell counts as one without.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(has for name, has in capabilities.items() if name.endswith("_bf16"))
