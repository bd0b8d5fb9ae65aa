"""Low-rank adapters beside frozen weights, by peft."""

from typing import TYPE_CHECKING, Any

from harness.config.model import ModelConfig, PretrainedModel
from harness.errors import UserError
from harness.ledger.flops import LoRA

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def library() -> Any:
    """The package `peft`, imported late because it is an extra."""
    try:
        import peft
    except ImportError as error:
        raise UserError("model.lora_rank needs an extra: pip install 'creditbench[lora]'") from error
    return peft


def add_adapters(policy: "PreTrainedModel", model: PretrainedModel) -> None:
    """Freeze the policy's weights and put adapters beside them, which start as the identity."""
    settings = library().LoraConfig(
        r=model.lora_rank,
        lora_alpha=model.lora_alpha,
        # No dropout: the log-probabilities of sampling and of training must be the same function.
        lora_dropout=0.0,
        target_modules=list(model.lora_targets),
    )
    try:
        policy.add_adapter(settings)
    except ValueError as error:
        raise UserError(f"model.lora_targets: {' '.join(str(error).split())}") from error


def lora_of(model: ModelConfig) -> LoRA | None:
    """The adapters of a configuration, as the closed forms count them."""
    if isinstance(model, PretrainedModel) and model.lora_rank:
        return LoRA(model.lora_rank, model.lora_targets)
    return None
