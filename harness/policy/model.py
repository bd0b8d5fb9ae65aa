"""The embedded policy and its critic: small transformers decoders made from scratch."""

import hashlib

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Model

from envs.base import EnvironmentSpec
from harness.config import ModelConfig
from harness.ledger import TransformerFlops
from harness.rng import purpose_key


def new_policy(
    config: ModelConfig, spec: EnvironmentSpec, vocabulary_size: int, seed: int
) -> GPT2LMHeadModel:
    """A policy with random weights, a function of the arguments alone."""
    torch.manual_seed(seed ^ purpose_key("initial weights"))
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocabulary_size,
            n_embd=config.width,
            n_layer=config.layers,
            n_head=config.heads,
            n_positions=spec.max_prompt_tokens + spec.max_action_tokens,
            activation_function="relu",
            # GPT-2's 0.02 suits a width of 768; narrow models start too flat with it.
            initializer_range=config.width**-0.5,
            # No dropout: the log-probabilities of sampling and of training must be the same function.
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


class Critic(nn.Module):
    """A second model of the policy's size with a scalar head, started from the policy's weights.

    The head starts at zero, so every value does.
    """

    def __init__(self, policy: GPT2LMHeadModel) -> None:
        super().__init__()
        self.backbone = GPT2Model(policy.config)
        self.backbone.load_state_dict(policy.transformer.state_dict())
        self.head = nn.Linear(policy.config.n_embd, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def values(self, hidden: Tensor) -> Tensor:
        """Values of hidden states: (..., width) -> (...)."""
        values: Tensor = self.head(hidden)
        return values.squeeze(-1)


def closed_forms(model: nn.Module, config: GPT2Config) -> TransformerFlops:
    """The closed forms of a policy with this configuration, or of its critic, whose head has one output."""
    return TransformerFlops.of(config, outputs=1 if isinstance(model, Critic) else None)


def weights(model: nn.Module) -> dict[str, Tensor]:
    """A module's tensors by name; the tied head is left out, as it is the embedding."""
    return {name: tensor for name, tensor in model.state_dict().items() if name != "lm_head.weight"}


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a module's tensors, names and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights(model).items()):
        digest.update(name.encode() + tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_weights(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """The inverse of `weights`; raises RuntimeError when a tensor is missing or unknown."""
    missing, unknown = model.load_state_dict(tensors, strict=False)
    if unknown or set(missing) - {"lm_head.weight"}:
        raise RuntimeError(f"stored weights do not fit the model: missing {missing}, unknown {unknown}")
