"""ARPO and Tree-GRPO: where they branch and what they credit, against worked numbers and brute force."""

from collections import Counter

import numpy as np
import pytest

from algorithms.arpo import ARPO
from algorithms.factors import Equations
from algorithms.tree_grpo import TreeGRPO, own_steps, trees


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


class Draws:
    """A generator that hands out given uniform numbers."""

    def __init__(self, *numbers: float) -> None:
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


def test_arpo_worked_draws():
    """u .52 at H .45 from .30: .52 - .2 x .15 = .49 <= .5 branches; u .54 gives .51 and does not."""
    assert ARPO().branches(0.52, 0.45, 0.30)
    assert not ARPO().branches(0.54, 0.45, 0.30)


def two_rounds(batch_of, **options):
    """Two roots of 3 and 2 steps; entropies 1, 2, 3 and 1, 0 on the steps' first tokens; ln V = 1."""
    return batch_of(
        [[0, 0, 1.0], [0, 0.0]],
        tokens=[[2, 2, 2], [2, 2]],
        entropy_T=np.array([1.0, 1, 2, 2, 3, 3, 1, 1, 0, 0]),
        **options,
    )


def test_arpo_entropy_is_a_mean_over_the_first_tokens_in_units_of_ln_v(batch_of):
    batch = two_rounds(batch_of, vocabulary=8)
    mean = ARPO().normalised_entropy(batch)
    np.testing.assert_allclose(mean, np.array([1, 2, 3, 1, 0]) / np.log(8))
    released = ARPO(segment=Equations.released).normalised_entropy(batch)
    np.testing.assert_allclose(released, 2 * np.array([1, 2, 3, 1, 0]) / np.log(8))
    first = ARPO(entropy_tokens=1, segment=Equations.released).normalised_entropy(batch)
    np.testing.assert_allclose(first, mean)


def test_arpo_asks_every_live_trajectory_after_each_answer(batch_of):
    algorithm = ARPO(rollouts=5, roots=2)
    batch = two_rounds(batch_of, vocabulary=1)
    # Turn 0, before step 1: dH is +1 and -1, so a draw of .65 branches the first only.
    points = algorithm.select_branches(batch, 0, Draws(0.65, 0.65))
    assert [(p.trajectory, p.step, p.token) for p in points] == [(0, 1, 0)]
    # Turn 1, before step 2: only the first root is that long.
    points = algorithm.select_branches(batch, 1, Draws(0.85))
    assert [(p.trajectory, p.step) for p in points] == [(0, 2)]
    # Turn 2: nothing is left to branch from; the rest start afresh, one from each root in turn.
    points = algorithm.select_branches(batch, 2, Draws())
    assert [(p.trajectory, p.step, p.token) for p in points] == [(0, 0, 0), (1, 0, 0), (0, 0, 0)]


def test_arpo_released_looks_before_the_answer(batch_of):
    """The first answer then never changes the probability: H_now is H_initial."""
    algorithm = ARPO(rollouts=5, roots=2, segment=Equations.released)
    batch = two_rounds(batch_of, vocabulary=1)
    assert len(algorithm.select_branches(batch, 0, Draws(0.5, 0.5))) == 2
    assert algorithm.select_branches(batch, 0, Draws(0.51, 0.51)) == []


def test_arpo_continuations_branch_too_but_not_where_they_began(batch_of):
    batch = batch_of(
        [[0, 0, 0.0]] * 2,
        parent_N=np.array([-1, 0]),
        branch_step_N=np.array([0, 1]),
        vocabulary=1,
    )
    algorithm = ARPO(rollouts=4, roots=1)
    asked_at_1 = algorithm.select_branches(batch, 0, Draws(0.0))
    asked_at_2 = algorithm.select_branches(batch, 1, Draws(0.0, 0.0))
    assert [p.trajectory for p in asked_at_1] == [0]
    assert [p.trajectory for p in asked_at_2] == [0, 1]


def test_arpo_never_exceeds_its_budget(batch_of):
    points = ARPO(rollouts=3, roots=2).select_branches(two_rounds(batch_of, vocabulary=1), 0, Draws(0, 0))
    assert len(points) == 1


def test_tree_grpo_worked_advantages(batch_of):
    """Rewards [[1, 0], [1, 1]]: .7071 + .5, -.7071 - 1.5, 0 + .5, 0 + .5."""
    batch = batch_of([[1.0], [0.0], [1.0], [1.0]], parent_N=np.array([-1, 0, -1, 2]))
    credit = TreeGRPO(rollouts=4, nodes=1).credit(batch)
    np.testing.assert_allclose(credit.advantage_T, [1.2071, -2.2071, 0.5, 0.5], atol=5e-5)
    exact = np.sqrt(0.5) * np.array([1, -1, 0, 0]) + np.array([0.5, -1.5, 0.5, 0.5])
    np.testing.assert_allclose(credit.advantage_T, exact, atol=1e-5)
    assert credit.trained_N is None, "all leaves are trained"


def test_descendants_belong_to_the_tree_of_their_root(batch_of):
    batch = batch_of([[0.0]] * 5, parent_N=np.array([-1, 0, 1, -1, 2]))
    assert trees(batch).tolist() == [0, 0, 0, 3, 0]


def test_tree_grpo_draws_nodes_uniformly_with_replacement(batch_of):
    """Nodes: the start and the state after every step but a leaf's last; a branch's first node is shared."""
    batch = batch_of(
        [[0, 0, 0.0], [0, 0, 0, 0.0]], parent_N=np.array([-1, 0]), branch_step_N=np.array([0, 1])
    )
    assert list(own_steps(batch, 0)) == [0, 1, 2]
    assert list(own_steps(batch, 1)) == [2, 3]
    draw, count = rng(), 4000
    algorithm = TreeGRPO(rollouts=count + 1, nodes=count)
    points = algorithm.select_branches(batch, 0, draw)
    counts = Counter((p.trajectory, p.step) for p in points)
    assert set(counts) == {(0, 0), (0, 1), (0, 2), (1, 2), (1, 3)}
    assert all(abs(n - count / 5) < 5 * np.sqrt(count * 0.16) for n in counts.values())


@pytest.mark.parametrize(
    ("nodes", "rounds", "rollouts", "roots"), [(2, 1, 6, 2), (2, 2, 10, 2), (1, 3, 4, 1)]
)
def test_tree_grpo_plans(nodes, rounds, rollouts, roots):
    plan = TreeGRPO(rollouts=rollouts, nodes=nodes, rounds=rounds).plan()
    assert (plan.roots, plan.branches) == (roots, rollouts - roots)
