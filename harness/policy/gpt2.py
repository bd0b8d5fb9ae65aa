"""GPT-2's trunk as plain tensor operations.

The policy that is made from scratch is a GPT-2 so small that calling transformers' modules takes longer than
what they compute. These are the same operations on the same weights in the same order, so the same bits come
out, in gradients too (tested). What is more than that policy goes through its modules: adapters, hooks,
weights that are sharded, activations that are checkpointed.

Shape suffixes: T tokens, W width, H heads, D their width.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, layer_norm
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2Model
from transformers.pytorch_utils import Conv1D

PARTS = {
    *(GPT2Model, GPT2Block, GPT2Attention, GPT2MLP, Conv1D),
    *(nn.Embedding, nn.LayerNorm, nn.ModuleList, nn.Dropout, nn.ReLU),
}
Attend = Callable[[GPT2Attention, Tensor, Tensor, Tensor], Tensor]
"""(module; queries, keys and values (1, H, T, D)) -> what is read (1, T, H, D)."""


def is_plain(backbone: nn.Module) -> TypeGuard[GPT2Model]:
    """Whether `states` computes what this trunk does."""
    return isinstance(backbone, GPT2Model) and all(map(_is_plain_part, backbone.modules()))


def _is_plain_part(module: nn.Module) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
    return type(module) in PARTS and not module.training and not hooks


def states(backbone: GPT2Model, ids_T: Tensor, position_T: Tensor, attend: Attend) -> Tensor:
    """Hidden states (T, W) of tokens at their positions, which look at each other by `attend`."""
    x_TW = embedding(ids_T, backbone.wte.weight) + embedding(position_T, backbone.wpe.weight)
    blocks: Iterable[Any] = backbone.h
    for block in blocks:
        x_TW = _attended(block.attn, _normed(block.ln_1, x_TW), attend) + x_TW
        inner = torch.relu(_projected(block.mlp.c_fc, _normed(block.ln_2, x_TW)))
        x_TW = x_TW + _projected(block.mlp.c_proj, inner)
    return _normed(backbone.ln_f, x_TW)


def _attended(module: GPT2Attention, x_TW: Tensor, attend: Attend) -> Tensor:
    parts = _projected(module.c_attn, x_TW).split(module.split_size, dim=1)
    heads = (part.view(len(part), -1, module.head_dim).transpose(0, 1)[None] for part in parts)
    return _projected(module.c_proj, attend(module, *heads)[0].flatten(1))


def _projected(linear: Conv1D, x_TW: Tensor) -> Tensor:
    return torch.addmm(linear.bias, x_TW, linear.weight)


def _normed(norm: nn.LayerNorm, x_TW: Tensor) -> Tensor:
    return layer_norm(x_TW, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
