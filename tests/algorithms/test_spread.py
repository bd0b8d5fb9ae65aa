"""What does not differ gets no credit, at any scale: rounding errors are never divided by each other."""

import numpy as np
import pytest

from algorithms.ppo import PPO
from algorithms.shared.groups import against_others, centre, members, spread, standardise, whiten, z_scores
from algorithms.shared.plain import explained_variance
from algorithms.steppo import StepPO

SCALES = (1.0, 54321.7, 1e8 + 0.1, 1e25)


@pytest.mark.parametrize("scale", SCALES)
def test_equal_numbers_have_no_spread(scale):
    """100,000 equal numbers: their mean misses them by more than a rounding error of one addition."""
    x_X, group_X = np.full(100_000, 0.1 * scale), np.repeat([0, 1], 50_000)
    for made in (centre(x_X, group_X), z_scores(x_X, group_X), whiten(x_X, size=scale)):
        np.testing.assert_array_equal(made, 0)
    np.testing.assert_array_equal(against_others(x_X, group_X, np.arange(100_000)), 0)


@pytest.mark.parametrize("scale", SCALES)
def test_small_differences_stay_where_they_are_real(scale):
    """A millionth of the scale is a difference like any other: +-1 in population units."""
    x_X = scale * np.array([1.0, 1.0 + 1e-6])
    np.testing.assert_allclose(z_scores(x_X, np.zeros(2, int)), [-1, 1], atol=1e-6)


def test_differences_are_judged_by_what_they_were_computed_from():
    """0.1 + 0.2 - 0.3 against 0: by their own size they differ, by that of the summands they don't."""
    x_X, group_X = np.array([0.1 + 0.2 - 0.3, 0.0]), np.zeros(2, int)
    assert z_scores(x_X, group_X).any()
    assert not z_scores(x_X, group_X, np.array([0.6, 0.0])).any()


def test_statistics_by_brute_force():
    draw = np.random.default_rng(0)
    x_X, group_X = draw.normal(size=40), draw.integers(0, 6, 40)
    for i, group in enumerate(group_X):
        mine = x_X[group_X == group]
        assert centre(x_X, group_X)[i] == pytest.approx(x_X[i] - mine.mean(), abs=1e-12)
        std = spread(centre(x_X, group_X), group_X)[i]
        assert std == pytest.approx(mine.std(ddof=1), abs=1e-12)
        assert standardise(x_X, group_X)[i] == pytest.approx((x_X[i] - mine.mean()) / (std + 1e-6), abs=1e-12)
    for places in members(group_X):
        assert len(set(group_X[places])) == 1
        assert (np.diff(places) > 0).all()
    assert sorted(np.concatenate(members(group_X)).tolist()) == list(range(40))


def test_nan_stays_nan():
    """A run that has diverged must not train on silent zeros."""
    assert np.isnan(centre(np.array([np.nan, 1.0]), np.zeros(2, int))).all()
    assert np.isnan(whiten(np.array([np.nan, 1.0]), size=1.0)).all()


@pytest.mark.parametrize("algorithm", [PPO(gamma=1.0), StepPO(gamma=1.0)], ids=lambda a: a.name)
@pytest.mark.parametrize("scale", SCALES)
def test_equal_returns_are_explained_to_no_degree(algorithm, scale, batch_of):
    """Every return is `scale`, but for what adding and subtracting the values loses."""
    values = np.random.default_rng(0).normal(size=120) * scale
    batch = batch_of([[0, 0, scale]] * 20, tokens=[[2, 3, 1]] * 20, value_T=values)
    credit = algorithm.credit(batch)
    assert np.ptp(credit.return_T[credit.critic_T]) > 0, "the case must have rounding errors"
    assert credit.diagnostics["explained_variance"] == 0


def test_explained_variance_of_known_critics():
    return_X = np.array([0.0, 1, 2, 3])
    assert explained_variance(return_X, return_X, 3) == 1
    assert explained_variance(return_X, np.zeros(4), 3) == 0
    assert explained_variance(return_X, 2 * return_X, 3) == 0
    assert explained_variance(return_X, -return_X, 3) == -3


def test_whitening_of_a_perfect_critic_is_nothing(batch_of):
    """Values that are the returns up to rounding leave advantages of rounding errors."""
    rewards = [[0.1, 0.2, 1e8 + 0.1], [0.3, 1e8 + 0.1]]
    values = np.array([0.1 + (0.2 + (1e8 + 0.1)), 0.2 + (1e8 + 0.1), 1e8 + 0.1, 0.3 + (1e8 + 0.1), 1e8 + 0.1])
    batch = batch_of(rewards, value_T=values)
    np.testing.assert_array_equal(StepPO(gamma=1.0).credit(batch).advantage_T, 0)
