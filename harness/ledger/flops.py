"""Closed forms for a decoder's floating-point operations, from its configuration alone.

A multiply-add counts as two. Only matrix products with weights and those of attention count.
N matmul parameters without the input embedding, A = layers x heads x head_dim, L parameters of LoRA adapters.

* The head multiplies every token, tied to the embedding or not. A pass that computes logits at k of s
  positions really does 2 x hidden x vocabulary x (s - k) less: `predicted` says at how many.
* Of experts, those that one token activates count; the shared ones and the router count too.
* Attention is causal: a token at position c attends to c positions, itself included, with 4A c. A row has
  2A s^2, s^2 standing for 2(1 + ... + s). A kernel that computes the full square and masks it (torch's MATH
  backend) does 4A s^2, twice as much; for n new tokens after a cached prefix, 2A n^2 more than `prefill`.
* Training is the forward pass, the gradients of inputs and the gradients of weights, each as much as the
  first. Recomputed activations (gradient checkpointing) do not count: `TransformerFlops.repeated` has them.

Shape suffixes: R rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from harness.errors import UserError

if TYPE_CHECKING:  # the report reads ledgers without transformers
    from transformers import PreTrainedConfig

    from harness.policy.shapes import SmallShape

Shape: TypeAlias = "PreTrainedConfig | SmallShape"
"""What a decoder is made of, by transformers' names."""


def _total(x: ArrayLike) -> int:
    return int(np.sum(np.asarray(x, dtype=np.int64)))


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters beside frozen linear layers, not merged into them."""

    rank: int
    """r: an adapter multiplies every token with r (inputs + outputs) parameters."""
    targets: tuple[str, ...]
    """Names of the adapted layers as in the model, `q_proj`; all layers of that name."""


@dataclass(frozen=True)
class TransformerFlops:
    """The numbers that the closed forms need."""

    matmul_params: int
    """N: parameters that multiply every token; a tied head counts once, the input embedding never."""
    attention: int
    """A: layers x heads x head_dim, head_dim from the model's configuration."""
    adapter_params: int = 0
    """L: parameters of LoRA adapters; with any, the N are frozen."""
    head: int = 0
    """Those of the N that are the head's."""

    @staticmethod
    def of(config: Shape, outputs: int | None = None, lora: LoRA | None = None) -> TransformerFlops:
        """The decoder that `config` describes; `outputs` of the head, the vocabulary when None."""
        outputs = config.vocab_size if outputs is None else outputs
        layers = linear_layers(config, outputs)
        return TransformerFlops(
            matmul_params=sum(layer.copies * layer.inputs * layer.outputs for layer in layers),
            attention=config.num_hidden_layers * config.num_attention_heads * _head_dim(config),
            adapter_params=_adapter_params(layers, lora) if lora else 0,
            head=config.hidden_size * outputs,
        )

    @staticmethod
    def repeated(config: Shape, lora: LoRA | None = None) -> TransformerFlops:
        """What checkpointed blocks compute once more in the backward pass, as `forward` counts it.

        torch stops a repetition when it has all that the backward pass reads. A product that ends a block,
        that is the last one of a dense MLP, is not read and not repeated.
        """
        blocks, last = TransformerFlops.of(config, outputs=0, lora=lora), _last_product(config)
        if lora and last.name in lora.targets:
            spared = lora.rank * last.outputs * last.copies
            return replace(blocks, adapter_params=blocks.adapter_params - spared)
        return replace(blocks, matmul_params=blocks.matmul_params - last.inputs * last.outputs * last.copies)

    def decode(self, context_R: ArrayLike) -> int:
        """One token each, attending to `context_R` positions, itself included: 2(N + L) + 4A c."""
        context_R = np.asarray(context_R, dtype=np.int64)
        return self._linear(context_R.size) + 4 * self.attention * _total(context_R)

    def prefill(self, length_R: ArrayLike, cached_R: ArrayLike) -> int:
        """Rows of p tokens of which the first q are cached: 2(N + L)(p - q) + 2A (p^2 - q^2)."""
        length_R, cached_R = np.asarray(length_R, dtype=np.int64), np.asarray(cached_R, dtype=np.int64)
        attention = 2 * self.attention * _total(length_R**2 - cached_R**2)
        return self._linear(_total(length_R - cached_R)) + attention

    def forward(self, length_R: ArrayLike, positions: int | None = None, predicted: int | None = None) -> int:
        """Prefill or score whole rows of these lengths, packed or not: 2(N + L) s + 2A s^2.

        In a prefix tree only `positions` of all tokens go through the linear layers, and only `predicted` of
        those through the head, if given.
        """
        tokens = _total(length_R)
        positions = tokens if positions is None else positions
        shared = self._linear(tokens - positions) + 2 * self._headless(positions, predicted)
        return self.prefill(length_R, 0) - shared

    def train(self, length_R: ArrayLike, positions: int | None = None, predicted: int | None = None) -> int:
        """Forward and backward: 6N s + 6A s^2; with LoRA (4N + 6L) s + 6A s^2. The rest as in `forward`.

        Frozen weights need no gradient. Every layer's input gets one, the first's too, as in full training
        and under transformers' `enable_input_require_grads`. Without that call, and with q, k and v adapted,
        autograd really does 2 x hidden x (outputs of q, k and v, + 3r) a token less.
        """
        tokens = _total(length_R) if positions is None else positions
        frozen = self.matmul_params * tokens - self._headless(tokens, predicted)
        spared = 2 * frozen if self.adapter_params else 0
        return 3 * self.forward(length_R, positions, predicted) - spared

    def _headless(self, positions: int, predicted: int | None) -> int:
        """Products with the head's weights that are left out."""
        return 0 if predicted is None else self.head * (positions - predicted)

    def _linear(self, tokens: int) -> int:
        return 2 * (self.matmul_params + self.adapter_params) * tokens


@dataclass(frozen=True)
class Linear:
    """Equal linear layers that every token passes."""

    name: str
    """The modules' name; empty if the weights are bare parameters that LoRA cannot target by name."""
    inputs: int
    outputs: int
    copies: int
    """How many of them multiply one token: layers, times active experts."""


def linear_layers(config: Shape, outputs: int) -> list[Linear]:
    """A decoder's linear layers; raises UserError when the configuration fits no known architecture."""
    if config.model_type not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise UserError(f"no closed form for model_type {config.model_type!r}; known: {known}")
    if _windowed(config):
        raise UserError(
            f"no closed form for sliding-window attention (model_type {config.model_type!r}): "
            "set sliding_window to null if no row is longer than the window"
        )
    return [*ARCHITECTURES[config.model_type](config), Linear("lm_head", config.hidden_size, outputs, 1)]


def _windowed(config: Shape) -> bool:
    layer_types = getattr(config, "layer_types", None)
    if layer_types:
        return any(kind != "full_attention" for kind in layer_types)
    return bool(getattr(config, "sliding_window", None))


def _head_dim(config: Shape) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _gpt2(config: Shape) -> list[Linear]:
    """Query, key and value in one layer, a plain MLP."""
    width, layers = config.hidden_size, config.num_hidden_layers
    inner = config.n_inner or 4 * width
    return [
        Linear("c_attn", width, 3 * width, layers),
        Linear("c_proj", width, width, layers),
        Linear("c_fc", width, inner, layers),
        Linear("c_proj", inner, width, layers),
    ]


def _dense(config: PreTrainedConfig) -> list[Linear]:
    """Grouped-query attention and a gated MLP in every layer."""
    layers = config.num_hidden_layers
    return _grouped_query(config) + _gated_mlp(config.hidden_size, config.intermediate_size, layers)


def _sparse(config: PreTrainedConfig, expert_width: str) -> list[Linear]:
    """Grouped-query attention and experts; `expert_width` names the field of their inner width."""
    width, inner, top = config.hidden_size, getattr(config, expert_width), config.num_experts_per_tok
    layers = _sparse_layers(config)
    return [
        *_grouped_query(config),
        *_gated_mlp(width, config.intermediate_size, config.num_hidden_layers - layers),
        Linear("", width, config.num_experts, layers),
        Linear("", width, 2 * inner, layers * top),
        Linear("", inner, width, layers * top),
        *_shared_expert(width, getattr(config, "shared_expert_intermediate_size", 0), layers),
    ]


def _sparse_layers(config: PreTrainedConfig) -> int:
    """How many layers have experts: every `decoder_sparse_step`th, but for `mlp_only_layers`."""
    step, dense = getattr(config, "decoder_sparse_step", 1), getattr(config, "mlp_only_layers", ())
    return sum((i + 1) % step == 0 and i not in dense for i in range(config.num_hidden_layers))


def _shared_expert(width: int, inner: int, layers: int) -> list[Linear]:
    if not inner:
        return []
    return [*_gated_mlp(width, inner, layers), Linear("shared_expert_gate", width, 1, layers)]


def _grouped_query(config: PreTrainedConfig) -> list[Linear]:
    width, layers = config.hidden_size, config.num_hidden_layers
    query = config.num_attention_heads * _head_dim(config)
    key = config.num_key_value_heads * _head_dim(config)
    return [
        Linear("q_proj", width, query, layers),
        Linear("k_proj", width, key, layers),
        Linear("v_proj", width, key, layers),
        Linear("o_proj", query, width, layers),
    ]


def _gated_mlp(width: int, inner: int, copies: int) -> list[Linear]:
    return [
        Linear("gate_proj", width, inner, copies),
        Linear("up_proj", width, inner, copies),
        Linear("down_proj", inner, width, copies),
    ]


ARCHITECTURES: dict[str, Callable[[Any], list[Linear]]] = {
    "gpt2": _gpt2,
    "llama": _dense,
    "mistral": _dense,
    "mixtral": partial(_sparse, expert_width="intermediate_size"),
    "olmo2": _dense,
    "olmoe": partial(_sparse, expert_width="intermediate_size"),
    "qwen2": _dense,
    "qwen2_moe": partial(_sparse, expert_width="moe_intermediate_size"),
    "qwen3": _dense,
    "qwen3_moe": partial(_sparse, expert_width="moe_intermediate_size"),
    "smollm3": _dense,
}
"""By model_type, the linear layers under the head. An entry is proved by the counter in the tests."""


def _last_product(config: Shape) -> Linear:
    """The products at the ends of blocks after which nothing is computed that the backward pass reads."""
    layers = linear_layers(config, outputs=0)
    if config.model_type == "gpt2":
        return layers[-2]
    # Experts' outputs are weighed, and OLMo 2 norms what its MLP gives: those read the product.
    dense = next(layer for layer in layers if layer.name == "down_proj")
    return replace(dense, copies=0) if config.model_type == "olmo2" else dense


def _adapter_params(layers: list[Linear], lora: LoRA) -> int:
    names = sorted({layer.name for layer in layers if layer.name and layer.copies})
    if lora.rank < 1 or not lora.targets or not set(lora.targets) <= set(names):
        raise UserError(f"LoRA needs a rank above 0 and targets among {', '.join(names)}, got {lora}")
    adapted = [layer for layer in layers if layer.name in lora.targets]
    return lora.rank * sum(layer.copies * (layer.inputs + layer.outputs) for layer in adapted)
