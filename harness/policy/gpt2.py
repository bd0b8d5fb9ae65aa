"""The policy that is made from scratch: a small GPT-2, as plain operations on its weights.

It is transformers' GPT-2 to the last bit (tested): names and order of the weights, their first values, what
is computed, gradients. The model is so small that calling transformers' modules takes longer than what they
compute, and importing them longer than anything else at a process's start.

Shape suffixes: T tokens, W width, H heads, D their width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm

from harness.policy.shapes import SmallShape

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel, PreTrainedModel

Attend = Callable[["Attention", Tensor, Tensor, Tensor], Tensor]
"""(layer; queries, keys and values (1, H, T, D)) -> what is read (1, T, H, D)."""
Policy: TypeAlias = "GPT2 | PreTrainedModel"
"""What every policy is."""


class Affine(nn.Module):
    """x W + b, with the weight as (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs).normal_())
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x_TW: Tensor) -> Tensor:
        """One product for all tokens."""
        return torch.addmm(self.bias, x_TW, self.weight)


class Attention(nn.Module):
    """Queries, keys and values in one product, and what is read of them in another."""

    def __init__(self, width: int, heads: int, number: int) -> None:
        super().__init__()
        self.layer_idx, self.head_dim = number, width // heads
        self.scaling = self.head_dim**-0.5
        self.c_attn, self.c_proj = Affine(width, 3 * width), Affine(width, width)

    def forward(self, x_TW: Tensor, attend: Attend) -> Tensor:
        """What the tokens read of each other, by `attend`."""
        parts = self.c_attn(x_TW).split(x_TW.shape[1], dim=1)
        heads = (part.view(len(part), -1, self.head_dim).transpose(0, 1)[None] for part in parts)
        read_TW: Tensor = self.c_proj(attend(self, *heads)[0].flatten(1))
        return read_TW


class Perceptron(nn.Module):
    """Four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.c_fc, self.c_proj = Affine(width, 4 * width), Affine(4 * width, width)

    def forward(self, x_TW: Tensor) -> Tensor:
        """Each token for itself."""
        inner_TW: Tensor = self.c_proj(torch.relu(self.c_fc(x_TW)))
        return inner_TW


class Block(nn.Module):
    """A layer."""

    def __init__(self, width: int, heads: int, number: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width, heads, number)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = Perceptron(width)

    def forward(self, x_TW: Tensor, attend: Attend) -> Tensor:
        """The residual stream after this layer."""
        x_TW = self.attn(_normed(self.ln_1, x_TW), attend) + x_TW
        after_TW: Tensor = x_TW + self.mlp(_normed(self.ln_2, x_TW))
        return after_TW


class Trunk(nn.Module):
    """Everything below the head."""

    def __init__(self, shape: SmallShape) -> None:
        super().__init__()
        width, heads = shape.hidden_size, shape.num_attention_heads
        self.wte = nn.Embedding(shape.vocab_size, width)
        self.wpe = nn.Embedding(shape.positions, width)
        self.h = nn.ModuleList(Block(width, heads, number) for number in range(shape.num_hidden_layers))
        self.ln_f = nn.LayerNorm(width)

    def states(self, ids_T: Tensor, position_T: Tensor, attend: Attend) -> Tensor:
        """Hidden states (T, W) of tokens at their positions, which look at each other by `attend`."""
        x_TW = embedding(ids_T, self.wte.weight) + embedding(position_T, self.wpe.weight)
        for block in self.h:
            x_TW = block(x_TW, attend)
        return _normed(self.ln_f, x_TW)

    @torch.no_grad()
    def initialise(self, spread: float) -> None:
        """Weights of standard deviation `spread`; what adds to the residual stream, less with more layers."""
        nn.init.normal_(self.wte.weight, std=spread)
        nn.init.normal_(self.wpe.weight, std=spread)
        for block in self.h:
            assert isinstance(block, Block)
            # transformers draws the last product of each part twice, and what follows depends on it.
            for first, last in ((block.attn.c_attn, block.attn.c_proj), (block.mlp.c_fc, block.mlp.c_proj)):
                nn.init.normal_(first.weight, std=spread)
                nn.init.normal_(last.weight, std=spread)
                nn.init.normal_(last.weight, std=spread / (2 * len(self.h)) ** 0.5)


class GPT2(nn.Module):
    """The trunk, and a head whose weights are those of the embedding."""

    def __init__(self, shape: SmallShape) -> None:
        """Weights are drawn from torch's generator."""
        super().__init__()
        self.config = shape
        self.transformer = Trunk(shape)
        # GPT-2's 0.02 suits a width of 768; narrow models start too flat with it.
        self.transformer.initialise(shape.hidden_size**-0.5)
        self.lm_head = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        self.lm_head.weight = self.transformer.wte.weight

    @property
    def base_model(self) -> Trunk:
        """The trunk, by transformers' name for it."""
        return self.transformer

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.lm_head.weight.device

    def get_output_embeddings(self) -> nn.Linear:
        """The head, by transformers' name for it."""
        return self.lm_head

    def as_transformers(self) -> GPT2LMHeadModel:
        """A copy of the model as one of transformers'."""
        from transformers import GPT2Config, GPT2LMHeadModel

        shape = self.config
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=shape.vocab_size,
                n_embd=shape.hidden_size,
                n_layer=shape.num_hidden_layers,
                n_head=shape.num_attention_heads,
                n_positions=shape.positions,
                activation_function="relu",
                initializer_range=shape.hidden_size**-0.5,
                bos_token_id=None,
                eos_token_id=None,
            )
        )
        model.load_state_dict(self.state_dict())
        model.eval()
        return model


def _normed(norm: nn.LayerNorm, x_TW: Tensor) -> Tensor:
    return layer_norm(x_TW, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
