"""Models of transformers along the paths of a prefix tree.

Such a model computes everything but attention itself; its configuration names `PATHS` as its attention.

Shape suffixes: P positions of the tree, W width, H heads, D head width.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from harness.policy.tree import Paths, along

PATHS = "prefix_tree"
"""The name under which transformers knows `attend`."""


def states(backbone: nn.Module, ids_P: Tensor, column_P: Tensor, paths: Paths) -> Tensor:
    """Hidden states (P, W) of a tree's positions."""
    assert isinstance(backbone, PreTrainedModel)
    # Left on: for other passes `attend` is `sdpa`, and checkpointed layers run again in the backward pass.
    backbone.config._attn_implementation = PATHS
    hidden_1PW: Tensor = backbone(
        input_ids=ids_P[None],
        position_ids=column_P[None],
        attention_mask=torch.empty(1, 1, 0, 0, device=ids_P.device),  # of four dimensions: taken as it is
        paths=paths,
        use_cache=False,
    ).last_hidden_state
    return hidden_1PW[0]


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    paths: Paths | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of (1, H, P, D) along `paths`; without any, transformers' own `sdpa`."""
    if paths is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    kwargs["is_causal"] = True
    return along(query, key, value, paths, partial(_sdpa, module, kwargs)), None


def _sdpa(module: nn.Module, kwargs: dict[str, Any], query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return sdpa_attention_forward(module, query, key, value, None, **kwargs)[0]


AttentionInterface.register(PATHS, attend)
AttentionMaskInterface.register(PATHS, sdpa_mask)
