"""Credit functions against worked numbers from outside this project (tests/golden/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest

from algorithms.base import CreditUnit, Equations, NormaliseUnit
from algorithms.g2po import G2PO
from algorithms.gigpo import GiGPO
from algorithms.grpo import GRPO
from algorithms.ppo import PPO
from algorithms.shared.graph import state_graph
from algorithms.steppo import StepPO

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
    step = {name: getattr(StepPO(), name) for name in ("credit_unit", "baseline", "normalise_unit")}
    np.testing.assert_array_equal(PPO(**step).credit(batch).advantage_T, StepPO().credit(batch).advantage_T)
    assert PPO(**step).credit_unit is CreditUnit.step


def test_grpo_over_trajectories(batch_of):
    batch = batch_of([[1.0], [0.0], [0.0], [1.0]])
    np.testing.assert_allclose(GRPO().credit(batch).advantage_T, STEPPO["G6 group"]["grpo"], **CLOSE)
    centred = GRPO(normalise_unit=NormaliseUnit.none).credit(batch)
    np.testing.assert_allclose(centred.advantage_T, STEPPO["G6 group"]["rfpp_baseline_prewhiten"], **CLOSE)


def graph_batch(batch_of):
    """g2po.json's example: A->B->C->success, A->B->D->failure, A->A (invalid)->D->C->success."""
    return batch_of(
        [[0, 0, 10.0], [0, 0, 0], [0, 0, 0, 10.0]],
        states=[["A", "B", "C"], ["A", "B", "D"], ["A", "A", "D", "C"]],
        valid=[[True] * 3, [True] * 3, [False, True, True, True]],
    )


@pytest.mark.parametrize("gamma", [0.5, 0.95])
@pytest.mark.parametrize("mode", ["mean_norm", "mean_std_norm"])
def test_released_graph_methods(gamma, mode, batch_of):
    batch = graph_batch(batch_of)
    expected = GRAPH[f"gamma={gamma},{mode}"]
    options = {"gamma": gamma, "equations": Equations.released, "invalid_penalty": 0.1}
    if mode == "mean_norm":
        options["normalise_unit"] = NormaliseUnit.none
    graph = state_graph(batch, gamma)
    np.testing.assert_allclose(graph.next_value_S - graph.value_S, expected["delta"], **CLOSE)
    np.testing.assert_allclose(G2PO(**options).credit(batch).advantage_T, expected["g2po"], **CLOSE)
    np.testing.assert_allclose(GiGPO(**options).credit(batch).advantage_T, expected["gigpo"], **CLOSE)


def test_g2po_as_the_paper_writes_it(batch_of):
    credit = G2PO(gamma=0.95).credit(graph_batch(batch_of))
    # The golden a_nc was worked with the invalid penalty's +1e-6 in another place: 2e-6 apart on one row.
    np.testing.assert_allclose(
        credit.advantage_T, GRAPH["paper_literal,gamma=0.95"]["g2po"], atol=1e-5, rtol=0
    )


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
