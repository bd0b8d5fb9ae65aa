"""The losses against StepPO's worked numbers and finite differences."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms.factors import Aggregation, KLEstimator, RatioUnit
from algorithms.rloo import RLOO
from algorithms.shared.kl_reward import with_kl_in_reward
from harness.update.loss import clipped_loss, importance_ratio, kl, token_weights, value_loss
from tests.conftest import make_batch

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "steppo.json").read_text())
G3 = GOLDEN["G3 losses"]
LOG_RATIO = torch.tensor([0.1, -0.2, 0.3, 0.0, -0.15], dtype=torch.float64)
STEP = np.array([0, 0, 1, 1, 1])
ADVANTAGE = torch.tensor(np.repeat(G3["adv"], [2, 3]))


def ratios(unit: RatioUnit, log_ratio=LOG_RATIO) -> torch.Tensor:
    trajectory = torch.zeros(5, dtype=torch.long)
    return importance_ratio(log_ratio, unit, torch.from_numpy(STEP), trajectory, LOG_RATIO.mean())


def loss(unit: RatioUnit, clip: float, aggregation: Aggregation, log_ratio=LOG_RATIO) -> torch.Tensor:
    ratio = ratios(unit, log_ratio)
    weights = torch.from_numpy(token_weights(aggregation, STEP, np.zeros(5, int), 1, 10))
    return (weights * clipped_loss(ratio, ADVANTAGE, clip, clip, 0.0)).sum()


def test_geometric_mean_ratio():
    ratio = ratios(RatioUnit.step)
    np.testing.assert_allclose(ratio[[0, 2]], G3["ratio_geo"], atol=1e-9)
    np.testing.assert_array_equal(ratio[[0, 2, 2]], ratio[[1, 3, 4]])


def test_centred_ratio_of_capo():
    assert float(LOG_RATIO.mean()) == pytest.approx(G3["mu_hat"], abs=1e-12)
    np.testing.assert_allclose(ratios(RatioUnit.step_sqrt)[[0, 2]], G3["ratio_capo_v5"], atol=1e-9)
    np.testing.assert_array_equal(
        ratios(RatioUnit.step_sqrt)[[0, 2, 2]], ratios(RatioUnit.step_sqrt)[[1, 3, 4]]
    )


def test_product_ratio_is_the_uncentred_sum():
    """Steps' product ratios, which the three step ratios temper: z times L under the geometric mean."""
    scaled = LOG_RATIO * torch.tensor([2.0, 2, 3, 3, 3], dtype=torch.float64)
    np.testing.assert_allclose(ratios(RatioUnit.step, scaled)[[0, 2]], G3["ratio_sum"], atol=1e-9)


def test_sequence_ratio_spans_the_trajectory():
    np.testing.assert_allclose(ratios(RatioUnit.sequence), np.exp(0.01), atol=1e-12)


@pytest.mark.parametrize(
    ("unit", "clip", "aggregation", "name"),
    [
        (RatioUnit.step, 0.2, Aggregation.step_mean, "loss_step_geo_clip_02"),
        (RatioUnit.step, 3e-4, Aggregation.step_mean, "loss_step_geo_clip_3e4"),
        (RatioUnit.step_sqrt, 1e-3, Aggregation.step_mean, "loss_capo_clip_1e3"),
        (RatioUnit.token, 0.2, Aggregation.step_mean, "loss_vanilla_02_seqmean_tokmean"),
        (RatioUnit.token, 0.2, Aggregation.token_mean, "loss_vanilla_02_tokmean"),
    ],
)
def test_worked_losses(unit, clip, aggregation, name):
    assert float(loss(unit, clip, aggregation)) == pytest.approx(G3[name], abs=1e-8)


@pytest.mark.parametrize("unit", list(RatioUnit))
@pytest.mark.parametrize("clip", [0.2, 3e-4, 0.12])
def test_gradients_agree_with_finite_differences(unit, clip):
    log_ratio = LOG_RATIO.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: loss(unit, clip, Aggregation.step_mean, x), log_ratio)


def test_a_clipped_step_has_no_gradient():
    log_ratio = LOG_RATIO.clone().requires_grad_()
    loss(RatioUnit.step, 3e-4, Aggregation.step_mean, log_ratio).backward()
    assert log_ratio.grad is not None
    assert log_ratio.grad.abs().max() == 0


def test_dual_clip_bounds_negative_advantages():
    ratio, advantage = torch.tensor([10.0, 10.0]), torch.tensor([-1.0, 1.0])
    assert clipped_loss(ratio, advantage, 0.2, 0.2, 3.0).tolist() == pytest.approx([3.0, -1.2])
    assert clipped_loss(ratio, advantage, 0.2, 0.2, 0.0).tolist() == pytest.approx([10.0, -1.2])


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ([0.4, 0.9], "loss_noclip"),
        ([1.2, 0.9], "loss_clipcase"),
        ([0.5, 0.1], "loss_clip_blocks_grad"),
    ],
)
def test_value_loss(values, name):
    returns, old = torch.tensor([0.4375, 1.0]), torch.tensor([0.5, 0.75])
    measured = value_loss(torch.tensor(values), old, returns, 0.5).mean()
    assert float(measured) == pytest.approx(GOLDEN["G4 value"][name], abs=1e-6)


def test_kl_estimators():
    worked = GOLDEN["G5 k3"]
    d = torch.tensor(worked["d"], dtype=torch.float64)
    np.testing.assert_allclose(kl(torch.zeros(3), d, KLEstimator.k3), worked["k3"], atol=1e-9)
    np.testing.assert_allclose(kl(torch.zeros(3), d, KLEstimator.k1), -d)
    np.testing.assert_allclose(kl(torch.zeros(3), d, KLEstimator.k2), d**2 / 2)


@pytest.mark.parametrize("estimator", [KLEstimator.k1, KLEstimator.k2, KLEstimator.k3])
def test_kl_is_one_formula_in_loss_and_reward(estimator):
    logprob, reference = np.array([-1.0, -2.0, -30.0]), np.array([-1.5, -0.5, -1.0])
    batch = make_batch([[0.0, 0.0, 0.0]], logprob_T=logprob, reference_logprob_T=reference)
    penalised = with_kl_in_reward(batch, RLOO(kl_estimator=estimator, kl_coef=1.0))
    in_loss = kl(torch.from_numpy(logprob), torch.from_numpy(reference), estimator)
    np.testing.assert_allclose(penalised.penalty_T, in_loss, atol=1e-12)


TWO_TRAJECTORIES = np.array([0, 0, 0, 1, 1, 1])
THREE_STEPS = np.array([0, 1, 1, 2, 2, 2])
LONGEST = 10


@pytest.mark.parametrize(
    ("aggregation", "weights"),
    [
        (Aggregation.token_mean, [1 / 6] * 6),
        (Aggregation.step_mean, [1 / 3, 1 / 6, 1 / 6, 1 / 9, 1 / 9, 1 / 9]),
        (Aggregation.seq_mean_step_mean, [1 / 4, 1 / 8, 1 / 8, 1 / 6, 1 / 6, 1 / 6]),
        (Aggregation.seq_mean_token_mean, [1 / 6] * 6),
        (Aggregation.seq_mean_token_sum, [1 / 2] * 6),
        (Aggregation.constant, [1 / 20] * 6),
    ],
)
def test_aggregations(aggregation, weights):
    measured = token_weights(aggregation, THREE_STEPS, TWO_TRAJECTORIES, 2, LONGEST)
    np.testing.assert_allclose(measured, weights, atol=1e-12)


def test_untrained_trajectories_count():
    """APPO's 1/M: two of four trajectories trained, half the weight."""
    halved = token_weights(Aggregation.seq_mean_token_mean, THREE_STEPS, TWO_TRAJECTORIES, 4, LONGEST)
    assert halved.sum() == pytest.approx(0.5)
