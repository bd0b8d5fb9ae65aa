"""The policy and its critic: small transformers decoders made from scratch, or pretrained ones."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from envs.base import EnvironmentSpec
from harness.config import PretrainedModel, TinyModel
from harness.config.model import CriticKind
from harness.ledger import TransformerFlops
from harness.ledger.flops import LoRA
from harness.policy.gpt2 import GPT2, Policy
from harness.policy.lora import add_adapters
from harness.policy.shapes import SmallShape
from harness.policy.source import legible
from harness.rng import purpose_key

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

ADAPTER = "lora_"
"""What peft has in the names of an adapter's tensors, and nothing else has."""


def new_policy(config: TinyModel, spec: EnvironmentSpec, vocabulary_size: int, seed: int) -> GPT2:
    """A policy with random weights, a function of the arguments alone."""
    torch.manual_seed(seed ^ purpose_key("initial weights"))
    return GPT2(SmallShape.of(config, spec, vocabulary_size)).eval()


def load_pretrained(config: PretrainedModel, folder: Path, seed: int) -> "PreTrainedModel":
    """The pretrained policy in fp32, with adapters if there are to be; a function of the arguments alone."""
    from transformers import AutoModelForCausalLM, PreTrainedModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    with legible(config, folder):
        policy = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    assert isinstance(policy, PreTrainedModel)
    if config.lora_rank:
        torch.manual_seed(seed ^ purpose_key("initial weights"))
        add_adapters(policy, config)
    if config.checkpointing:
        checkpoint_activations(policy)
    policy.eval()
    return policy


def checkpoint_activations(policy: "PreTrainedModel") -> None:
    """Keep no activations inside blocks; the method's name changed between transformers 5.15 and 5.23."""
    old = "gradient_checkpointing_enable"
    enable = getattr(policy, "activation_checkpointing_enable", None) or getattr(policy, old)
    enable({"use_reentrant": False})


class Critic(nn.Module):
    """A second model of the policy's size with a scalar head, started from the policy's weights.

    The head starts at zero, so every value does.
    """

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.backbone = deepcopy(trunk(policy))
        self.head = value_head(policy)

    def values(self, hidden: Tensor) -> Tensor:
        """Values of hidden states: (..., width) -> (...)."""
        return values_of(self.head, hidden)


class HeadCritic(nn.Module):
    """A scalar head on the policy's own trunk, whose tensors are the policy's and not this module's."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.head = value_head(policy)
        self._policy = (policy,)  # in a tuple, nn.Module does not see it

    @property
    def backbone(self) -> nn.Module:
        """The policy's trunk."""
        return trunk(self._policy[0])

    def values(self, hidden: Tensor) -> Tensor:
        """Values of hidden states: (..., width) -> (...)."""
        return values_of(self.head, hidden)


def new_critic(policy: Policy, kind: CriticKind) -> Critic | HeadCritic:
    """A critic on the policy's device."""
    critic = Critic(policy) if kind is CriticKind.separate else HeadCritic(policy)
    return critic.to(policy.device)


def value_head(policy: Policy) -> nn.Linear:
    """A linear layer to one value, all zeros."""
    head = nn.Linear(policy.config.hidden_size, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


def values_of(head: nn.Linear, hidden: Tensor) -> Tensor:
    """Values (...) of hidden states (..., width), in the head's own precision."""
    with torch.autocast(hidden.device.type, enabled=False):
        values: Tensor = head(hidden.to(head.weight.dtype))
    return values.squeeze(-1)


def trunk(policy: Policy) -> nn.Module:
    """The policy without its head."""
    backbone: nn.Module = policy.base_model
    return backbone


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Blocks that checkpoint their activations do so inside. Models are in evaluation mode always.

    In training mode they may make noise (dropout, a router's jitter): the log-probabilities of sampling and
    of training would not be the same function, nor a resumed run the same run. But transformers checkpoints
    in training mode alone, so the blocks themselves are in it, and none of their parts.
    """
    blocks = [module for module in model.modules() if checkpoints(module)]
    for block in blocks:
        block.training = True
    try:
        yield
    finally:
        for block in blocks:
            block.training = False


def checkpoints(module: nn.Module) -> bool:
    """Whether a module is a block that keeps no activations."""
    if not getattr(module, "gradient_checkpointing", False):
        return False
    from transformers.modeling_layers import GradientCheckpointingLayer

    return isinstance(module, GradientCheckpointingLayer)


def closed_forms(
    model: nn.Module, config: "PreTrainedConfig | SmallShape", lora: LoRA | None = None
) -> TransformerFlops:
    """The closed forms of a policy with this configuration, or of its critic, whose head has one output."""
    outputs = 1 if isinstance(model, Critic | HeadCritic) else None
    return TransformerFlops.of(config, outputs=outputs, lora=lora)


def head_forms(policy: Policy) -> TransformerFlops:
    """The closed forms of a value head alone."""
    width = policy.config.hidden_size
    return TransformerFlops(matmul_params=width, attention=0, head=width)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that a checkpoint needs, by name: all of them, or with LoRA only the adapters and heads.

    A tensor with two names (a tied head) is there once.
    """
    kept = every_weight(model)
    if any(ADAPTER in name for name in kept):
        return {name: tensor for name, tensor in kept.items() if ADAPTER in name or name.startswith("head.")}
    return kept


def every_weight(model: nn.Module) -> dict[str, Tensor]:
    """A module's tensors by name, each once."""
    first: dict[int, str] = {}
    tensors = model.state_dict()
    names = [name for name, tensor in tensors.items() if first.setdefault(tensor.data_ptr(), name) == name]
    return {name: tensors[name] for name in names}


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a module's tensors, names and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(every_weight(model).items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_weights(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """The inverse of `weights`; raises RuntimeError when a tensor is missing or unknown."""
    wanted = set(weights(model))
    missing, unknown = sorted(wanted - set(tensors)), sorted(set(tensors) - wanted)
    if unknown or missing:
        raise RuntimeError(f"stored weights do not fit the model: missing {missing}, unknown {unknown}")
    model.load_state_dict(tensors, strict=False)
