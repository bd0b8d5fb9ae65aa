"""The control arms do what they say."""

import numpy as np
import pytest

from algorithms.controls import Constant, Oracle, RandomCredit, ShuffledSteps
from algorithms.factors import NormaliseUnit
from algorithms.g2po import G2PO


@pytest.fixture
def played(batch_of):
    """16 trajectories of 6 steps of 2 tokens over 5 states, half of them solved."""
    draw = np.random.default_rng(3)
    return batch_of(
        [[0.0] * 5 + [float(n % 2)] for n in range(16)],
        tokens=[[2] * 6] * 16,
        states=[[str(s) for s in draw.integers(5, size=6)] for _ in range(16)],
        uniform_S=draw.random(96),
        true_advantage_S=draw.normal(size=96),
    )


def test_shuffled_steps_permutes_g2po_inside_each_trajectory(played):
    original_S = G2PO().credit(played).advantage_T[played.first_token_S].reshape(16, 6)
    shuffled_S = ShuffledSteps().credit(played).advantage_T[played.first_token_S].reshape(16, 6)
    np.testing.assert_array_equal(np.sort(shuffled_S, axis=1), np.sort(original_S, axis=1))
    moved = (shuffled_S != original_S).mean()
    assert moved > 0.5, "a random permutation of 6 leaves one in place on average"


def test_random_credit_knows_nothing_of_what_happened(played, batch_of):
    other = batch_of([[1.0] * 6] * 16, tokens=[[2] * 6] * 16, uniform_S=played.uniform_S)
    credit = RandomCredit().credit(played).advantage_T
    np.testing.assert_array_equal(credit, RandomCredit().credit(other).advantage_T)
    steps = credit[played.first_token_S]
    assert abs(steps.mean()) < 4 / np.sqrt(96)
    assert 0.7 < steps.std() < 1.3


def test_constant_trains_nothing(played):
    assert not Constant().credit(played).trained_N.any()


def test_oracle_is_the_truth_or_the_truth_whitened(played):
    truth = played.true_advantage_S
    raw = Oracle(normalise_unit=NormaliseUnit.none).credit(played).advantage_T
    np.testing.assert_array_equal(raw[played.first_token_S], truth)
    white = Oracle().credit(played).advantage_T[played.first_token_S]
    np.testing.assert_allclose(white, (truth - truth.mean()) / truth.std(ddof=1), atol=1e-6)
