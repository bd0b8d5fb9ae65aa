"""AdamW and the warm start's one cycle are torch's, bit by bit."""

import pytest
import torch
from torch import nn

from harness.ranks import ALONE
from harness.update.optimizer import BETAS, AdamW
from harness.update.warm_start import one_cycle


def weights() -> list[nn.Parameter]:
    """Two for each of two groups, and one that is not trained."""
    torch.manual_seed(0)
    found = [nn.Parameter(torch.randn(shape)) for shape in [(3, 5), (7,), (2, 2), (1,), (4,)]]
    found[4].requires_grad = False
    return found


def backward(parameters: list[nn.Parameter], step: int) -> None:
    """Other gradients in each step; the last trained parameter has none in the first two."""
    torch.manual_seed(step + 1)
    for parameter in parameters[: 3 if step < 2 else 4]:
        parameter.grad = torch.randn(parameter.shape)


def ours(parameters: list[nn.Parameter], decay: float) -> AdamW:
    optimizer = AdamW(decay)
    optimizer.add(parameters[:2], 1e-2)
    optimizer.add(parameters[2:], 3e-2)
    return optimizer


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_are_torchs(decay):
    mine, theirs = weights(), weights()
    optimizer = ours(mine, decay)
    groups = [{"params": theirs[:2], "lr": 1e-2}, {"params": theirs[2:4], "lr": 3e-2}]
    reference = torch.optim.AdamW(groups, weight_decay=decay, fused=True)
    for step in range(6):
        backward(mine, step)
        backward(theirs, step)
        norm = optimizer.step(grad_clip=2.0)
        assert norm == float(nn.utils.clip_grad_norm_(theirs, 2.0))
        reference.step()
        reference.zero_grad()
        assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))
        if step == 3:
            kept = optimizer.moments(ALONE)
            assert kept.keys() == {
                f"{i}.{name}" for i in range(4) for name in ("step", "exp_avg", "exp_avg_sq")
            }
            optimizer = ours(mine, decay)
            optimizer.load({name: tensor.clone() for name, tensor in kept.items()})


@pytest.mark.parametrize("updates", [1, 2, 10, 11, 12, 150])
def test_one_cycle_is_torchs(updates):
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(1))], lr=0.003)
    share = 0.1 if updates > 10 else 0.0
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.003, updates, pct_start=share)
    for update in range(updates):
        [group] = optimizer.param_groups
        rate, momentum = one_cycle(update, updates)
        assert rate * 0.003 == pytest.approx(group["lr"], rel=1e-12)
        assert (momentum, BETAS[1]) == pytest.approx(group["betas"], rel=1e-12)
        optimizer.step()
        schedule.step()


def test_a_gradient_that_is_not_finite_is_an_error():
    parameters = weights()
    optimizer = ours(parameters, 0.0)
    backward(parameters, 0)
    parameters[0].grad[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="diverged"):
        optimizer.step(1.0)
