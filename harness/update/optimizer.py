"""AdamW (Loshchilov & Hutter 2019), by torch's functional form of it.

The classes of torch.optim import torch.compile's front end when they are first called: a thousand modules,
as many as all else that a process of the small policy needs.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from harness.parallel.sharded import full, like
from harness.ranks import Ranks

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass
class Group:
    """Parameters that share a learning rate."""

    parameters: list[nn.Parameter]
    lr: float


class Moments:
    """What is remembered of a parameter's gradients; sharded as the parameter is."""

    def __init__(self, parameter: nn.Parameter) -> None:
        self.step = torch.zeros((), device=parameter.device)
        self.exp_avg = torch.zeros_like(parameter)
        self.exp_avg_sq = torch.zeros_like(parameter)


class AdamW:
    """Steps of what is trained of models, group by group."""

    def __init__(self, weight_decay: float) -> None:
        self.groups: list[Group] = []
        self.weight_decay = weight_decay
        self.betas = BETAS
        self._moments: dict[nn.Parameter, Moments] = {}

    def add(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        """Train those parameters that require gradients, at a learning rate of their own."""
        self.groups.append(Group([each for each in parameters if each.requires_grad], lr))

    @property
    def trained(self) -> list[nn.Parameter]:
        """All parameters, group by group."""
        return [parameter for group in self.groups for parameter in group.parameters]

    def step(self, grad_clip: float) -> float:
        """Clip the gradient, step, clear; returns the norm before clipping.

        Raises FloatingPointError when the gradient is not finite: the run has diverged.

        The weights' versions rise with every step, as engines tell stale weights by them
        (`TorchEngine.sync`); a fused step alone does not raise them.
        """
        norm = full(nn.utils.clip_grad_norm_(self.trained, grad_clip))
        if not torch.isfinite(norm):
            raise FloatingPointError("the gradient is not finite: the run has diverged")
        for group in self.groups:
            self._step(group)
        torch.autograd.graph.increment_version(self.trained)
        for parameter in self.trained:
            parameter.grad = None
        return float(norm)

    @torch.no_grad()
    def _step(self, group: Group) -> None:
        moved = [(each, each.grad) for each in group.parameters if each.grad is not None]
        moments = [self._of(parameter) for parameter, _ in moved]
        adamw(
            [parameter for parameter, _ in moved],
            [gradient for _, gradient in moved],
            [each.exp_avg for each in moments],
            [each.exp_avg_sq for each in moments],
            [],
            [each.step for each in moments],
            fused=True,
            amsgrad=False,
            maximize=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=group.lr,
            weight_decay=self.weight_decay,
            eps=EPSILON,
        )

    def _of(self, parameter: nn.Parameter) -> Moments:
        if parameter not in self._moments:
            self._moments[parameter] = Moments(parameter)
        return self._moments[parameter]

    def moments(self, ranks: Ranks) -> dict[str, Tensor]:
        """What it remembers, whole, by INDEX.NAME; on the first rank only, but all take part."""
        found = {}
        for index, parameter in enumerate(self.trained):
            if parameter in self._moments:
                for name, tensor in vars(self._moments[parameter]).items():
                    whole = full(tensor)
                    if ranks.first:
                        found[f"{index}.{name}"] = whole.cpu() if ranks.size > 1 else whole
        return found

    @torch.no_grad()
    def load(self, moments: dict[str, Tensor]) -> None:
        """The inverse of `moments`, on every rank."""
        trained = self.trained
        self._moments = {}
        for key, whole in moments.items():
            index, name = key.split(".")
            kept: Tensor = getattr(self._of(trained[int(index)]), name)
            kept.copy_(like(whole, kept))
