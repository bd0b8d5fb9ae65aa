"""Credit functions against worked numbers from outside this project (tests/golden/README.md)."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from algorithms.factors import CreditUnit, DiscountUnit, Equations, NormaliseUnit
from algorithms.g2po import G2PO, graph_values
from algorithms.gigpo import GiGPO
from algorithms.graphgpo import GraphGPO, distances, next_distances
from algorithms.grpo import GRPO, DrGRPO
from algorithms.gspo import GSPO
from algorithms.hgpo import HGPO
from algorithms.ppo import PPO
from algorithms.reinforce_pp import ReinforcePP, ReinforcePPBaseline, ReinforcePPUnlinked
from algorithms.rloo import RLOO
from algorithms.shared.graph import StateGraph
from algorithms.shared.kl_reward import with_kl_in_reward
from algorithms.steppo import StepPO
from tests.conftest import make_batch

GOLDEN = Path(__file__).parents[1] / "golden"
STEPPO = json.loads((GOLDEN / "steppo.json").read_text())
GRAPH = json.loads((GOLDEN / "g2po.json").read_text())
CLOSE = {"rtol": 0, "atol": 1e-6}

G1 = {
    "G1 dyadic g=.5 lam=.5": (0.5, 0.5),
    "G1 mc g=1 lam=1": (1.0, 1.0),
    "G1 paper g=.99 lam=1": (0.99, 1.0),
    "G1 g=.99 lam=.95": (0.99, 0.95),
}


@pytest.mark.parametrize("name", G1)
@pytest.mark.parametrize("unit", ["step", "token"])
def test_gae_on_both_units(name, unit, batch_of):
    gamma, lam = G1[name]
    expected = STEPPO[name][unit]
    batch = batch_of([[0.0, 1.0]], tokens=[[2, 3]], value_T=np.array([0.5, 0.25, 0.75, 0.5, 0.25]))
    algorithm = {"step": StepPO, "token": PPO}[unit](gamma=gamma, lam=lam)
    raw = {"step": StepPO, "token": PPO}[unit](gamma=gamma, lam=lam, normalise_unit=NormaliseUnit.none)
    credit, raw_credit = algorithm.credit(batch), raw.credit(batch)
    white_T = expected["adv_tok"] if unit == "step" else expected["adv_white"]
    spread = (lambda x: np.repeat(x, [2, 3])) if unit == "step" else np.asarray
    np.testing.assert_allclose(raw_credit.advantage_T, spread(expected["adv_raw"]), **CLOSE)
    np.testing.assert_allclose(credit.return_T, spread(expected["ret"]), **CLOSE)
    np.testing.assert_allclose(credit.advantage_T, white_T, **CLOSE)


def test_ragged_batch_is_whitened_as_a_whole(batch_of):
    values = np.array([0.5, 0.25, 0.75, 0.5, 0.25, 0.25, 0.125])
    batch = batch_of([[0.0, 1.0], [0.5]], tokens=[[2, 3], [2]], groups=[0, 1], value_T=values)
    expected = STEPPO["G2 ragged A+B g=.5 lam=.5"]
    step = StepPO(gamma=0.5, lam=0.5).credit(batch)
    token = PPO(gamma=0.5, lam=0.5).credit(batch)
    np.testing.assert_allclose(step.advantage_T, expected["step_white_tok"], **CLOSE)
    np.testing.assert_allclose(token.advantage_T, expected["token_white"], **CLOSE)
    assert step.critic_T is not None
    assert step.critic_T.tolist() == [True, False, True, False, False, True, False]


def test_ppo_with_steppo_factors_is_steppo(batch_of):
    batch = batch_of([[0.0, 1.0]], tokens=[[2, 3]], value_T=np.array([0.5, 0.25, 0.75, 0.5, 0.25]))
    names = ("credit_unit", "baseline", "normalise_unit", "discount_unit")
    step = {name: getattr(StepPO(), name) for name in names}
    np.testing.assert_array_equal(PPO(**step).credit(batch).advantage_T, StepPO().credit(batch).advantage_T)
    assert PPO(**step).credit_unit is CreditUnit.step


def test_group_methods_over_trajectories(batch_of):
    batch = batch_of([[1.0], [0.0], [0.0], [1.0]])
    expected = STEPPO["G6 group"]
    centred = {"normalise_unit": NormaliseUnit.none}
    np.testing.assert_allclose(GRPO().credit(batch).advantage_T, expected["grpo"], **CLOSE)
    np.testing.assert_allclose(GSPO().credit(batch).advantage_T, expected["grpo"], **CLOSE)
    np.testing.assert_allclose(RLOO().credit(batch).advantage_T, expected["rloo"], **CLOSE)
    raw = expected["rfpp_baseline_prewhiten"]
    np.testing.assert_allclose(DrGRPO().credit(batch).advantage_T, raw, **CLOSE)
    np.testing.assert_allclose(ReinforcePPBaseline(**centred).credit(batch).advantage_T, raw, **CLOSE)


def test_reinforce_pp_baseline_whitens_over_tokens(batch_of):
    """R - mean is +-1/2 on 1 + 1 + 2 + 2 tokens: mean 0, unbiased std."""
    batch = batch_of([[1.0], [0.0], [0.0], [1.0]], tokens=[[1], [1], [2], [2]])
    std = np.sqrt(6 * 0.25 / 5)
    expected = np.array([0.5, -0.5, -0.5, -0.5, 0.5, 0.5]) / std
    np.testing.assert_allclose(ReinforcePPBaseline().credit(batch).advantage_T, expected, **CLOSE)


def test_reinforce_pp_links_returns_across_steps(batch_of):
    """Token returns at gamma 1/2 of two steps of 2 tokens, rewards 0 and 1."""
    batch = batch_of([[0.0, 1.0]], tokens=[[2, 2]])
    options = {"gamma": 0.5, "normalise_unit": NormaliseUnit.none}
    linked, unlinked = ReinforcePP(**options), ReinforcePPUnlinked(**options)
    np.testing.assert_allclose(linked.credit(batch).advantage_T, [0.125, 0.25, 0.5, 1], **CLOSE)
    np.testing.assert_allclose(unlinked.credit(batch).advantage_T, [0, 0, 0.5, 1], **CLOSE)
    assert ReinforcePPUnlinked().credit(batch).advantage_T[0] < 0, "a won episode's first step is punished"


def test_discounts_of_one_horizon(batch_of):
    """Two steps of 2 tokens, V=0, reward 1 at the end, gamma .25: each unit's return at the first token."""
    batch = batch_of([[0.0, 1.0]], tokens=[[2, 2]], value_T=np.zeros(4))
    raw = {"gamma": 0.25, "normalise_unit": NormaliseUnit.none}

    def returns(unit: DiscountUnit) -> list[float]:
        return PPO(**raw, discount_unit=unit).credit(batch).advantage_T.tolist()

    assert returns(DiscountUnit.token) == [0.25**3, 0.25**2, 0.25, 1]
    assert returns(DiscountUnit.step) == [0.25, 0.25, 1, 1]
    assert returns(DiscountUnit.mean_step) == [0.125, 0.25, 0.5, 1]
    step = StepPO(**raw).credit(batch).advantage_T.tolist()
    assert step == returns(DiscountUnit.step), "with no critic to learn, step credit is the same thing"
    assert StepPO(**raw, discount_unit=DiscountUnit.token).credit(batch).advantage_T[0] == 0.25**2
    assert StepPO(**raw, discount_unit=DiscountUnit.mean_step).credit(batch).advantage_T[0] == 0.25


lengths = st.lists(st.integers(1, 5), min_size=1, max_size=4)
unit_interval = st.floats(0, 1)


@given(lengths=lengths, gamma=unit_interval, lam=unit_interval, seed=st.integers(0, 99))
def test_with_one_token_a_step_both_units_are_one(lengths, gamma, lam, seed):
    draw = np.random.default_rng(seed)
    batch = make_batch(
        [draw.normal(size=n).tolist() for n in lengths],
        groups=list(range(len(lengths))),
        value_T=draw.normal(size=sum(lengths)),
    )
    step, token = StepPO(gamma=gamma, lam=lam).credit(batch), PPO(gamma=gamma, lam=lam).credit(batch)
    np.testing.assert_allclose(step.return_T, token.return_T, atol=1e-9)
    raw = {"gamma": gamma, "lam": lam, "normalise_unit": NormaliseUnit.none}
    one_T, other_T = StepPO(**raw).credit(batch).advantage_T, PPO(**raw).credit(batch).advantage_T
    np.testing.assert_allclose(one_T, other_T, atol=1e-9)
    # Eq. 16 of Schulman et al. spelled out: A_t = sum over l of (gamma lam)^l delta_(t+l).
    ends = np.cumsum(lengths)
    for first, last in zip(ends - lengths, ends, strict=True):
        value = np.append(batch.value_T[first:last], 0.0)
        delta = batch.reward_S[first:last] + gamma * value[1:] - value[:-1]
        for t in range(len(delta)):
            expected = sum((gamma * lam) ** k * d for k, d in enumerate(delta[t:]))
            assert one_T[first + t] == pytest.approx(expected, abs=1e-9)


def test_kl_in_the_reward_falls_on_its_token(batch_of):
    """k1 0.1 x (log p - log ref) = 0.1, 0.2, 0, 0.3 taken from tokens whose rewards are 0 | 0, 0, 1."""
    batch = batch_of(
        [[0.0, 1.0]],
        tokens=[[1, 3]],
        logprob_T=np.array([0.0, 0.0, -1.0, -1.0]),
        reference_logprob_T=np.array([-1.0, -2.0, -1.0, -4.0]),
    )
    raw = {"normalise_unit": NormaliseUnit.none, "kl_coef": 0.1}
    penalised = with_kl_in_reward(batch, ReinforcePP(**raw))
    np.testing.assert_allclose(penalised.reward_T, [-0.1, -0.2, 0.0, 0.7], **CLOSE)
    np.testing.assert_allclose(penalised.reward_S, [-0.1, 0.5], **CLOSE)
    np.testing.assert_allclose(penalised.reward_N, [0.4], **CLOSE)
    to_go = ReinforcePP(**raw).credit(penalised).advantage_T
    np.testing.assert_allclose(to_go, [0.4, 0.5, 0.7, 0.7], **CLOSE)
    assert with_kl_in_reward(batch, GRPO()) is batch, "GRPO's KL is in the loss"


def graph_batch(batch_of):
    """g2po.json's example: A->B->C->success, A->B->D->failure, A->A (invalid)->D->C->success."""
    return batch_of(
        [[0, 0, 10.0], [0, 0, 0], [0, 0, 0, 10.0]],
        states=[["A", "B", "C"], ["A", "B", "D"], ["A", "A", "D", "C"]],
        valid=[[True] * 3, [True] * 3, [False, True, True, True]],
    )


RELEASED = {"equations": Equations.released, "invalid_penalty": 0.1}
NODES = "ABCD"


@pytest.mark.parametrize("gamma", [0.5, 0.95])
@pytest.mark.parametrize("mode", ["mean_norm", "mean_std_norm"])
def test_released_graph_methods(gamma, mode, batch_of):
    batch = graph_batch(batch_of)
    expected = GRAPH[f"gamma={gamma},{mode}"]
    options = dict(RELEASED)
    if mode == "mean_norm":
        options["normalise_unit"] = NormaliseUnit.none
    value_S, next_value_S = graph_values(batch, StateGraph.of(batch, batch.state_S), gamma)
    np.testing.assert_allclose(value_S, [expected["V"][node] for node in "ABCABDAADC"], **CLOSE)
    np.testing.assert_allclose(next_value_S - value_S, expected["delta"], **CLOSE)
    np.testing.assert_allclose(GRPO(**options).credit(batch).advantage_T, expected["grpo"], **CLOSE)
    g2po, gigpo = G2PO(gamma=gamma, **options), GiGPO(gamma=gamma, **options)
    np.testing.assert_allclose(g2po.credit(batch).advantage_T, expected["g2po"], **CLOSE)
    np.testing.assert_allclose(gigpo.credit(batch).advantage_T, expected["gigpo"], **CLOSE)
    without = replace(gigpo, step_weight=0.0).credit(batch).advantage_T
    np.testing.assert_allclose(gigpo.credit(batch).advantage_T - without, expected["gigpo_step"], **CLOSE)
    terms = np.add(expected["a_nc"], expected["a_ec"])
    episode = replace(g2po, graph_weight=0.0).credit(batch).advantage_T
    np.testing.assert_allclose(g2po.credit(batch).advantage_T - episode, terms, **CLOSE)


def test_graphgpo(batch_of):
    batch = graph_batch(batch_of)
    expected = GRAPH["graphgpo,gamma=0.1"]
    graph = StateGraph.of(batch, batch.state_S)
    assert distances(graph).tolist() == [expected["dist"][node] for node in NODES]
    assert next_distances(batch, graph)[5] == expected["dist"]["X"]
    algorithm = GraphGPO(gamma=0.1, success_value=10.0, **RELEASED)
    np.testing.assert_allclose(algorithm.credit(batch).advantage_T, expected["A"], **CLOSE)
    step = algorithm.credit(batch).advantage_T - replace(algorithm, step_weight=0.0).credit(batch).advantage_T
    np.testing.assert_allclose(step, expected["a_g"], **CLOSE)


def test_hgpo(batch_of):
    expected = GRAPH["hgpo,gamma=0.95,K=2"]
    credit = HGPO(**RELEASED).credit(graph_batch(batch_of))
    np.testing.assert_allclose(credit.advantage_T, expected, **CLOSE)


def test_rloo_over_steps(batch_of):
    credit = RLOO(**RELEASED).credit(graph_batch(batch_of))
    np.testing.assert_allclose(credit.advantage_T, GRAPH["rloo"], **CLOSE)


def test_g2po_as_the_paper_writes_it(batch_of):
    credit = G2PO(gamma=0.95).credit(graph_batch(batch_of))
    # The golden a_nc was worked with the invalid penalty's +1e-6 in another place: 2e-6 apart on one row.
    np.testing.assert_allclose(
        credit.advantage_T, GRAPH["paper_literal,gamma=0.95"]["g2po"], atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("gamma", [0.5, 0.95])
@pytest.mark.parametrize("mode", ["mean_norm", "mean_std_norm"])
def test_g2po_loses_one_term_after_the_other(gamma, mode, batch_of):
    """Fig. 3's arms. Without group aggregation A_NC is GiGPO's step term, whose vector is the authors'."""
    batch = graph_batch(batch_of)
    expected = GRAPH[f"gamma={gamma},{mode}"]
    full = G2PO(gamma=gamma, **RELEASED)
    if mode == "mean_norm":
        full = replace(full, normalise_unit=NormaliseUnit.none)
    nodes = replace(full, edge_term=False)
    alone = replace(nodes, group_values=False)
    episode = replace(alone, graph_weight=0.0)
    np.testing.assert_allclose(
        nodes.credit(batch).advantage_T, np.subtract(expected["g2po"], expected["a_ec"]), **CLOSE
    )
    np.testing.assert_allclose(alone.credit(batch).advantage_T, expected["gigpo"], **CLOSE)
    np.testing.assert_allclose(episode.credit(batch).advantage_T, expected["grpo"], **CLOSE)


def test_edges_between_values_of_single_trajectories(batch_of):
    """gamma 1/2, rewards 10, 0, 10: each visit's own gain, by hand; all ten edges share one mean."""
    own = {"graph_weight": 1.0, "gamma": 0.5, "normalise_unit": NormaliseUnit.none, "group_values": False}
    batch = graph_batch(batch_of)
    edges = np.array([1.25, 2.5, 5, 0, 0, 0, 0.625, 1.25, 2.5, 5])
    both, nodes = G2PO(**own).credit(batch), G2PO(**own, edge_term=False).credit(batch)
    np.testing.assert_allclose(both.advantage_T - nodes.advantage_T, edges - edges.mean(), **CLOSE)


@pytest.mark.parametrize("gamma", [1.0, 0.5])
def test_gigpo_as_the_paper_writes_it(gamma, batch_of):
    expected = STEPPO[f"G6 gigpo g={gamma}"]
    batch = batch_of([[0, 1.0], [0], [0, 0], [0, 1.0]], states=STATES)
    np.testing.assert_allclose(GiGPO(gamma=gamma).credit(batch).advantage_T, expected["total"], **CLOSE)


STATES = [["s", "u"], ["s"], ["s", "u"], ["s", "v"]]
"""G6's anchors: all start in s; two second steps share u; the last one is alone."""


def test_one_edge_gives_zero_not_nan(batch_of):
    credit = G2PO().credit(batch_of([[1.0]]))
    assert credit.advantage_T.tolist() == [0.0]
