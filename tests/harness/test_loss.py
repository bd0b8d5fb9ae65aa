"""The losses against StepPO's worked numbers and finite differences."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from algorithms.base import Aggregation, KLEstimator, RatioUnit
from harness.update.loss import clipped_loss, importance_ratio, kl, token_weights, value_loss

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "steppo.json").read_text())
G3 = GOLDEN["G3 losses"]
LOG_RATIO = torch.tensor([0.1, -0.2, 0.3, 0.0, -0.15], dtype=torch.float64)
STEP = np.array([0, 0, 1, 1, 1])
ADVANTAGE = torch.tensor(np.repeat(G3["adv"], [2, 3]))


def loss(unit: RatioUnit, clip: float, aggregation: Aggregation, log_ratio=LOG_RATIO) -> torch.Tensor:
    ratio = importance_ratio(
        log_ratio, torch.zeros(5), unit, torch.from_numpy(STEP), torch.zeros(5, dtype=torch.long)
    )
    weights = torch.from_numpy(token_weights(aggregation, STEP, np.zeros(5, int), 1))
    return (weights * clipped_loss(ratio, ADVANTAGE, clip, clip, 0.0)).sum()


def test_geometric_mean_ratio():
    ratio = importance_ratio(
        LOG_RATIO, torch.zeros(5), RatioUnit.step, torch.from_numpy(STEP), torch.zeros(5).long()
    )
    np.testing.assert_allclose(ratio[[0, 2]], G3["ratio_geo"], atol=1e-9)
    np.testing.assert_array_equal(ratio[[0, 2, 2]], ratio[[1, 3, 4]])


def test_sequence_ratio_spans_the_trajectory():
    ratio = importance_ratio(
        LOG_RATIO, torch.zeros(5), RatioUnit.sequence, torch.from_numpy(STEP), torch.zeros(5).long()
    )
    np.testing.assert_allclose(ratio, np.exp(0.01), atol=1e-12)


@pytest.mark.parametrize(
    ("unit", "clip", "aggregation", "name"),
    [
        (RatioUnit.step, 0.2, Aggregation.step_mean, "loss_step_geo_clip_02"),
        (RatioUnit.step, 3e-4, Aggregation.step_mean, "loss_step_geo_clip_3e4"),
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


def test_weights_sum_to_one_and_count_untrained_trajectories():
    trajectory = np.array([0, 0, 0, 1, 1])
    for aggregation in (Aggregation.token_mean, Aggregation.step_mean, Aggregation.seq_mean_token_mean):
        assert token_weights(aggregation, STEP, trajectory, 2).sum() == pytest.approx(1)
    halved = token_weights(Aggregation.seq_mean_token_mean, STEP, trajectory, 4)
    assert halved.sum() == pytest.approx(0.5)
    assert token_weights(Aggregation.seq_mean_token_sum, STEP, trajectory, 2).sum() == pytest.approx(2.5)
