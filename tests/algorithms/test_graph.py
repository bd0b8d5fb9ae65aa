"""The state graph against brute force, on random walks."""

from collections import defaultdict, deque

import numpy as np
import pytest

from algorithms.factors import Equations
from algorithms.g2po import G2PO, graph_values
from algorithms.graphgpo import next_distances
from algorithms.hgpo import HGPO, histories
from algorithms.shared.anchors import similar_anchors
from algorithms.shared.graph import StateGraph
from algorithms.shared.groups import standardise
from harness.errors import UserError

WALKS = range(6)


def walk(batch_of, seed):
    """Two groups of random walks over few states; about half of them end in success, whatever they paid."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 8, size=9)
    states = [[str(draw.integers(5)) for _ in range(n)] for n in lengths]
    rewards = [draw.normal(size=n).tolist() for n in lengths]
    groups = sorted(draw.integers(0, 2, size=9).tolist())
    return batch_of(rewards, states=states, groups=groups, success_N=draw.random(9) < 0.5)


def edges(batch) -> list[tuple[int, int | str]]:
    """(state, what comes next) of each step; the ends have names."""
    found: list[tuple[int, int | str]] = []
    for n in range(len(batch.steps_N)):
        mine = batch.state_S[batch.trajectory_S == n].tolist()
        found += zip(mine, [*mine[1:], "success" if batch.success_N[n] else "failure"], strict=True)
    return found


@pytest.mark.parametrize("seed", WALKS)
def test_values_are_means_over_all_visits(seed, batch_of):
    batch, gamma = walk(batch_of, seed), 0.9
    visits = defaultdict(list)
    for n, steps in enumerate(batch.steps_N):
        for j in range(steps):
            visits[batch.state_S[batch.first_step_N[n] + j]].append(gamma ** (steps - j) * batch.reward_N[n])
    expected = [np.mean(visits[state]) for state in batch.state_S]
    following = [
        batch.reward_N[n] if isinstance(to, str) else np.mean(visits[to])
        for n, (_, to) in zip(batch.trajectory_S, edges(batch), strict=True)
    ]
    value_S, next_value_S = graph_values(batch, StateGraph.of(batch, batch.state_S), gamma)
    np.testing.assert_allclose(value_S, expected, atol=1e-12)
    np.testing.assert_allclose(next_value_S, following, atol=1e-12)


@pytest.mark.parametrize("seed", WALKS)
def test_distances_are_breadth_first_within_each_group(seed, batch_of):
    batch = walk(batch_of, seed)
    expected = np.zeros(len(batch.state_S))
    for group in np.unique(batch.group_N):
        mine = batch.group_S == group
        reverse = defaultdict(set)
        for (state, to), here in zip(edges(batch), mine, strict=True):
            if here:
                reverse[to].add(state)
        distance: dict[int | str, int] = {"success": 0}
        queue = deque(["success"])
        while queue:
            node = queue.popleft()
            for before in reverse[node] - set(distance):
                distance[before] = distance[node] + 1
                queue.append(before)
        beyond = max(distance.values()) + 1
        reached = [distance.get(to, beyond) for _, to in edges(batch)]
        expected[mine] = np.array(reached)[mine]
    measured = next_distances(batch, StateGraph.of(batch, batch.state_S))
    np.testing.assert_array_equal(measured, expected)


@pytest.mark.parametrize("seed", WALKS)
def test_histories_are_equal_where_the_last_states_are(seed, batch_of):
    batch = walk(batch_of, seed)
    paths = []
    for n, steps in enumerate(batch.steps_N):
        mine = batch.state_S[batch.trajectory_S == n].tolist()
        paths += [mine[: j + 1] for j in range(steps)]
    for k, code_S in enumerate(histories(batch, batch.state_S, 4), start=1):
        tails = [tuple(path[-k:]) if len(path) >= k else None for path in paths]
        for i, one in enumerate(tails):
            for j, other in enumerate(tails):
                assert one is None or other is None or (code_S[i] == code_S[j]) == (one == other)
        assert [code == -1 for code in code_S] == [tail is None for tail in tails]


@pytest.mark.parametrize("seed", WALKS)
def test_g2po_without_shared_states_is_its_episode_and_edge_terms(seed, batch_of):
    """Every node is then visited once: A_NC is 0, and V is the step's own discounted outcome."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(1, 6, size=4)
    rewards = [draw.normal(size=n).tolist() for n in lengths]
    batch = batch_of(rewards, success_N=draw.random(4) < 0.5)
    gamma = 0.95
    own = [gamma ** (n - j) * r for n, r in zip(lengths, batch.reward_N, strict=True) for j in range(n)]
    after = [
        r if j == n - 1 else gamma ** (n - j - 1) * r
        for n, r in zip(lengths, batch.reward_N, strict=True)
        for j in range(n)
    ]
    edge_S = standardise(np.subtract(after, own), batch.group_S)
    episode_S = standardise(batch.reward_N, batch.group_N)[batch.trajectory_S]
    np.testing.assert_allclose(G2PO(gamma=gamma).credit(batch).advantage_T, episode_S + edge_S, atol=1e-9)


def test_g2po_prefers_the_smaller_cost(batch_of):
    """One state, left once by a solved and once by a failed trajectory: each of the three terms is the
    z-score of two numbers, 1 / sqrt(2)."""
    batch = batch_of([[-0.1], [-1.0]], states=[["s"], ["s"]], success_N=np.array([True, False]))
    advantage = np.array([3, -3]) / np.sqrt(2)
    np.testing.assert_allclose(G2PO().credit(batch).advantage_T, advantage, atol=1e-4)


def test_g2po_sees_what_failures_were_paid(batch_of):
    """All three terms order 0.9 (failed), 0 (failed) and 1 (solved) by what they paid."""
    batch = batch_of([[0.9], [0.0], [1.0]], states=[["s"]] * 3, success_N=np.array([False, False, True]))
    rewards = np.array([0.9, 0, 1])
    expected = 3 * (rewards - rewards.mean()) / rewards.std(ddof=1)
    np.testing.assert_allclose(G2PO().credit(batch).advantage_T, expected, atol=1e-4)
    with pytest.raises(UserError, match=r"equations=released clashes .* paid 0\.9: .* equations=paper"):
        G2PO(equations=Equations.released).credit(batch)


def test_hgpo_does_not_average_rounding_errors(batch_of):
    """0.1 + 0.2 - 0.3 is 2.8e-17: from the start, all three earn nothing; so A_1 alone decides there."""
    states = [["s", "a", "b"], ["s", "a", "b"], ["s", "c", "b"]]
    batch = batch_of([[0.1, 0.2, -0.3], [0.0] * 3, [0.0] * 3], states=states)
    advantage_S = HGPO(gamma=1.0).credit(batch).advantage_T
    np.testing.assert_array_equal(advantage_S[batch.first_step_N], 0)


def test_similar_anchors_join_the_first_cluster_that_is_alike(batch_of):
    texts = ("a red door", "a red dooR", "a blue window", "a red door")
    batch = batch_of([[0.0, 0.0], [0.0, 1.0]], observation_S=texts)
    loose = similar_anchors(batch, 0.9)
    assert loose[0] == loose[1] == loose[3] != loose[2]
    strict = similar_anchors(batch, 0.99)
    assert strict[0] == strict[3]
    assert len(set(strict.tolist())) == 3


def test_similar_anchors_stay_inside_their_group(batch_of):
    batch = batch_of([[0.0], [1.0]], groups=[0, 1], observation_S=("same", "same"))
    assert len(set(similar_anchors(batch, 0.5).tolist())) == 2
