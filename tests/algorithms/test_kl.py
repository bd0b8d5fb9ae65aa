"""A KL that is paid for has a part in what is learnt: in the loss its gradient knows the start policy."""

import pytest
import torch

from algorithms.factors import Clash, KLEstimator
from algorithms.grpo import GRPO
from harness.update.objective import Tokens, objective

LOGPROB = torch.tensor([-0.3, -1.2, -2.5])
TOKENS = Tokens(
    torch.zeros(3), LOGPROB, torch.full((3,), 1 / 3), torch.tensor([0, 0, 1]), torch.zeros(3).long()
)


def legal_in_the_loss() -> list[KLEstimator]:
    found = []
    for estimator in KLEstimator:
        try:
            GRPO(kl_estimator=estimator, kl_coef=float(estimator is not KLEstimator.none))
        except Clash:
            continue
        found.append(estimator)
    return found


def gradient(estimator: KLEstimator, reference_T: torch.Tensor) -> torch.Tensor:
    """Of the objective with nothing in it but the KL."""
    logprob_T = LOGPROB.clone().requires_grad_()
    algorithm = GRPO(kl_estimator=estimator, kl_coef=1.0, entropy_coef=0.0)
    loss, _ = objective(algorithm, TOKENS, logprob_T, torch.zeros(3), reference_T)
    return torch.autograd.grad(loss, logprob_T)[0]


def test_k1_is_not_legal_in_the_loss():
    assert legal_in_the_loss() == [KLEstimator.none, KLEstimator.k2, KLEstimator.k3]


@pytest.mark.parametrize("estimator", [e for e in legal_in_the_loss() if e is not KLEstimator.none])
def test_the_gradient_pulls_towards_the_start_policy(estimator):
    """Descending makes a token likelier where the start policy finds it likelier, and the other way round."""
    torch.testing.assert_close(gradient(estimator, LOGPROB), torch.zeros(3))
    assert (gradient(estimator, LOGPROB + 1) < 0).all()
    assert (gradient(estimator, LOGPROB - 1) > 0).all()
