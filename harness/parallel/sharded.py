"""Modules whose weights, gradients and moments are divided over the ranks, by torch's FSDP2.

A sharded module is the twin of a whole one. The twin is trained: each block's weights are gathered when its
pass needs them, and each rank adds its part to the gradients' sums. After an optimiser step the whole module
gets the twin's weights; all else reads that one, and no rank has to wait for others there.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from harness.policy.gpt2 import Block
from harness.ranks import Ranks

Module = TypeVar("Module", bound=nn.Module)


def twin_of(module: Module, ranks: Ranks) -> Module:
    """The module that is trained: this one, if the rank is alone.

    Gradients are sums over the ranks, not means: losses are weighted over the whole mini-batch.
    """
    if ranks.size == 1:
        return module
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FSDPModule, fully_shard
    from transformers.modeling_layers import GradientCheckpointingLayer

    device = next(module.parameters()).device
    twin = deepcopy(module.cpu())  # there, as a device need not have room for a second one; blocks move below
    module.to(device)
    mesh = init_device_mesh(device.type, (ranks.size,))
    for block in [part for part in twin.modules() if isinstance(part, GradientCheckpointingLayer | Block)]:
        fully_shard(block, mesh=mesh)
    fully_shard(twin, mesh=mesh)
    for part in twin.modules():
        if isinstance(part, FSDPModule):
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # gloo has no other
    return twin


@torch.no_grad()
def publish(twin: nn.Module, module: nn.Module) -> None:
    """Give the whole module the weights that its twin trained; every rank takes part."""
    for shard, whole in trained_pairs(twin, module):
        whole.copy_(full(shard))


@torch.no_grad()
def take_over(twin: nn.Module, module: nn.Module) -> None:
    """Give the twin the weights of the whole module."""
    for shard, whole in trained_pairs(twin, module):
        shard.copy_(like(whole, shard))


def trained_pairs(twin: nn.Module, module: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """What is trained of both, if they are two."""
    if twin is not module:
        for shard, whole in zip(twin.parameters(), module.parameters(), strict=True):
            if whole.requires_grad:
                yield shard, whole


def is_sharded(tensor: Tensor) -> bool:
    """Whether this rank holds a part of the tensor; torch's class for that takes a second to import."""
    return hasattr(tensor, "device_mesh")


def full(tensor: Tensor) -> Tensor:
    """All of a tensor; every rank takes part if it is sharded."""
    whole: Tensor = getattr(tensor, "full_tensor", lambda: tensor)()
    return whole


def like(whole: Tensor, shard: Tensor) -> Tensor:
    """All of a tensor sharded as `shard` is; each rank cuts its own part out."""
    if not is_sharded(shard):
        return whole
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(shard, DTensor)
    whole = whole.to(shard.device)
    return distribute_tensor(whole, shard.device_mesh, shard.placements, src_data_rank=None)
