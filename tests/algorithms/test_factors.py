"""The factor space: published settings, what is refused, and that whatever is not refused runs."""

from dataclasses import dataclass, fields, replace
from itertools import product
from typing import ClassVar

import numpy as np
import pytest

from algorithms.appo import APPO, Gain, Score
from algorithms.arpo import ARPO
from algorithms.base import Algorithm, Computes
from algorithms.capo import CAPO
from algorithms.controls import Constant, Oracle, RandomCredit
from algorithms.factors import (
    NORMALISE_UNITS_OF,
    Baseline,
    CreditUnit,
    DiscountUnit,
    Equations,
    KLEstimator,
    KLPlace,
    NormaliseUnit,
)
from algorithms.g2po import G2PO
from algorithms.gigpo import GiGPO
from algorithms.graphgpo import GraphGPO
from algorithms.grpo import GRPO, DrGRPO
from algorithms.gspo import GSPO
from algorithms.hgpo import HGPO
from algorithms.ppo import PPO, PPOMatched, PPOUndiscounted
from algorithms.reinforce_pp import ReinforcePP, ReinforcePPBaseline, ReinforcePPUnlinked
from algorithms.rloo import RLOO
from algorithms.shared.plain import PLAIN
from algorithms.steppo import StepPO, StepPONeither, StepPOTokenCredit, StepPOTokenRatio
from algorithms.tree_grpo import TreeGRPO
from harness.errors import UserError

VERL_AGENT = {
    # verl-agent, run_alfworld.sh of GRPO, GiGPO, HGPO, GraphGPO and G2PO (Nala-YN/G2PO @ b8ffaf5): group 8,
    # k3 KL .01 in the loss, entropy .001 (its yaml), clip .2/.2, c 3, token mean.
    "ratio_unit": "token",
    "aggregation": "token_mean",
    "clip_low": 0.2,
    "clip_high": 0.2,
    "dual_clip": 3.0,
    "kl_place": "loss",
    "kl_estimator": "k3",
    "kl_coef": 0.01,
    "entropy_coef": 0.001,
    "rollouts": 8,
}
VERL_AGENT_STEPS = {**VERL_AGENT, "credit_unit": "step", "gamma": 0.95}
STEPPO_SCRIPTS = {
    # StepPO @ 26107f1, run_hotpotqa_{step,token}_adv.sh: gamma .99, lam 1, clip .2/.2, no KL, n 1; rows are
    # steps and the loss is seq-mean-token-mean.
    "aggregation": "step_mean",
    "gamma": 0.99,
    "lam": 1.0,
    "clip_low": 0.2,
    "clip_high": 0.2,
    "kl_coef": 0.0,
    "value_clip": 0.5,
    "rollouts": 1,
}
STEPPO_GROUPS = {
    # The group and REINFORCE++ baselines of the same scripts: k1 KL 1e-3 in the reward, vanilla clip, c 3.
    "ratio_unit": "token",
    "aggregation": "step_mean",
    "entropy_coef": 0.0,
    "clip_low": 0.2,
    "clip_high": 0.2,
    "dual_clip": 3.0,
    "kl_place": "reward",
    "kl_estimator": "k1",
    "kl_coef": 0.001,
}
TOKEN = {"credit_unit": "token", "baseline": "token_critic", "normalise_unit": "tokens_of_batch"}
STEP = {"credit_unit": "step", "baseline": "step_critic", "normalise_unit": "steps_of_batch"}
PUBLISHED: dict[type[Algorithm], dict[str, object]] = {
    PPO: {**STEPPO_SCRIPTS, **TOKEN, "ratio_unit": "token", "dual_clip": 3.0, "discount_unit": "token"},
    PPOUndiscounted: {**STEPPO_SCRIPTS, **TOKEN, "gamma": 1.0, "discount_unit": "token"},
    PPOMatched: {**STEPPO_SCRIPTS, **TOKEN, "discount_unit": "mean_step"},
    StepPO: {**STEPPO_SCRIPTS, **STEP, "ratio_unit": "step", "dual_clip": 0.0, "discount_unit": "step"},
    # v1 (scripts of 8e4cd97) but for its c 3: step GAE under the vanilla token ratio.
    StepPOTokenRatio: {**STEPPO_SCRIPTS, **STEP, "ratio_unit": "token", "dual_clip": 0.0},
    StepPOTokenCredit: {**STEPPO_SCRIPTS, **TOKEN, "ratio_unit": "step", "discount_unit": "step"},
    StepPONeither: {**STEPPO_SCRIPTS, **TOKEN, "ratio_unit": "token", "discount_unit": "step"},
    # v5: eps 1e-3 of the paper (second hand); k3 KL 1e-3 of CAPO's scripts.
    CAPO: {
        **STEPPO_SCRIPTS,
        **STEP,
        "ratio_unit": "step_sqrt",
        "clip_low": 1e-3,
        "clip_high": 1e-3,
        "kl_estimator": "k3",
        "kl_coef": 0.001,
    },
    GRPO: {**VERL_AGENT, "credit_unit": "trajectory", "normalise_unit": "trajectories_of_group"},
    # arXiv 2503.20783, section 3.2: neither the std nor the length; no KL.
    DrGRPO: {"normalise_unit": "none", "aggregation": "constant", "kl_coef": 0.0, "rollouts": 8},
    RLOO: {**STEPPO_GROUPS, "baseline": "leave_one_out", "normalise_unit": "none", "rollouts": 8},
    ReinforcePP: {
        **STEPPO_GROUPS,
        "credit_unit": "token",
        "baseline": "none",
        "normalise_unit": "tokens_of_batch",
        "gamma": 1.0,
        "rollouts": 1,
    },
    # AgentR1/CAPO's scripts: gamma .99 a token, n 8.
    ReinforcePPUnlinked: {
        **STEPPO_GROUPS,
        "credit_unit": "token",
        "baseline": "none",
        "gamma": 0.99,
        "rollouts": 8,
    },
    ReinforcePPBaseline: {
        **STEPPO_GROUPS,
        "credit_unit": "trajectory",
        "baseline": "group_mean",
        "normalise_unit": "tokens_of_batch",
        "rollouts": 8,
    },
    # arXiv 2507.18071 for the ratio; clip .2 of StepPO's HotpotQA script, its k3 KL 1e-3, no dual clip.
    GSPO: {
        "credit_unit": "trajectory",
        "ratio_unit": "sequence",
        "aggregation": "seq_mean_token_mean",
        "clip_low": 0.2,
        "clip_high": 0.2,
        "dual_clip": 0.0,
        "kl_estimator": "k3",
        "kl_coef": 0.001,
        "rollouts": 8,
    },
    # verl-agent, gigpo/core_gigpo.py and run_alfworld.sh: w 1, exact anchors, mean_std_norm.
    GiGPO: {
        **VERL_AGENT_STEPS,
        "baseline": "state_group_mean",
        "normalise_unit": "steps_of_state_group",
        "step_weight": 1.0,
        "similarity": 1.0,
    },
    # verl-agent, recipe/hgpo: history K 2, alpha 1.
    HGPO: {**VERL_AGENT_STEPS, "history": 2, "alpha": 1.0, "episode_term": False},
    # verl-agent, recipe/GraphGPO: omega .1 on ALFWorld, weights 1 and 1, 10 for success.
    GraphGPO: {**VERL_AGENT_STEPS, "gamma": 0.1, "step_weight": 1.0, "success_value": 10.0},
    # Nala-YN/G2PO @ b8ffaf5: w 1, gamma .95 (hard-coded there), mean_std_norm.
    G2PO: {
        **VERL_AGENT_STEPS,
        "baseline": "graph_value",
        "normalise_unit": "edges_of_graph",
        "graph_weight": 1.0,
        "group_values": True,
        "edge_term": True,
        "equations": "paper",
        "invalid_penalty": 0.0,
    },
    # APPO's table: M 16, N 4, b .5, tau 32, beta 0; the scripts' clip .2/.28, c 3 (the paper gives no eps).
    APPO: {
        "credit_unit": "trajectory",
        "ratio_unit": "token",
        "aggregation": "seq_mean_token_mean",
        "clip_low": 0.2,
        "clip_high": 0.28,
        "dual_clip": 3.0,
        "kl_coef": 0.0,
        "rollouts": 16,
        "roots": 4,
        "future_weight": 0.5,
        "half_life": 32.0,
        "gain": "minibatch",
        "score": "branching",
        "dual_group": True,
        "keep_split_token": False,
    },
    # ARPO @ a95cd089, ARPO_7B_Reasoning_1node.sh: n 16, init 8, beam 2, p .5, w .2, KL 0; clip .2, c 3.
    ARPO: {
        "ratio_unit": "token",
        "aggregation": "token_mean",
        "clip_low": 0.2,
        "clip_high": 0.2,
        "dual_clip": 3.0,
        "kl_coef": 0.0,
        "rollouts": 16,
        "roots": 8,
        "branch_probability": 0.5,
        "entropy_weight": 0.2,
        "entropy_tokens": 20,
        "beam": 2,
    },
    # Tree-GRPO @ 90b17099, multi-hop script: M 2, N 2, L 1, k 3; k3 KL .001.
    TreeGRPO: {
        "aggregation": "seq_mean_token_mean",
        "kl_estimator": "k3",
        "kl_coef": 0.001,
        "rollouts": 6,
        "nodes": 2,
        "rounds": 1,
    },
}


def plain(algorithm: Algorithm) -> dict[str, object]:
    """All options, enumerations by value."""
    values = {f.name: getattr(algorithm, f.name) for f in fields(algorithm)}
    return {name: getattr(value, "value", value) for name, value in values.items()}


@pytest.mark.parametrize("cls", PUBLISHED, ids=lambda cls: cls.name)
def test_defaults_are_the_published_setting(cls: type[Algorithm]):
    options = plain(cls())
    assert {name: options[name] for name in PUBLISHED[cls]} == PUBLISHED[cls]


def test_corners_differ_in_the_two_halves_only():
    """The ablation switches credit (three factors that go together) and ratio; all else is StepPO's."""
    step = plain(StepPO())
    credit = {"credit_unit", "baseline", "normalise_unit"}
    for cls, halves in (
        (StepPOTokenRatio, {"ratio_unit"}),
        (StepPOTokenCredit, credit),
        (StepPONeither, credit | {"ratio_unit"}),
    ):
        assert {name for name, value in plain(cls()).items() if value != step[name]} == halves


GRAPH = {
    "baseline": Baseline.graph_value,
    "credit_unit": CreditUnit.step,
    "normalise_unit": NormaliseUnit.edges_of_graph,
}
KL_REWARD = {"kl_place": KLPlace.reward, "kl_estimator": KLEstimator.none, "kl_coef": 0.0}
K1_REWARD = {"kl_place": KLPlace.reward, "kl_estimator": KLEstimator.k1, "kl_coef": 0.1}
NO_BASELINE = {"baseline": Baseline.none}


@pytest.mark.parametrize(
    ("cls", "options", "words"),
    [
        (PPO, {"credit_unit": CreditUnit.step}, ("credit_unit=step", "baseline=token_critic", "choose")),
        (
            GRPO,
            {"normalise_unit": NormaliseUnit.steps_of_state_group},
            ("normalise_unit=steps_of_state_group", "baseline=group_mean", "steps_of_batch"),
        ),
        (
            PPO,
            {"normalise_unit": NormaliseUnit.steps_of_batch},
            ("normalise_unit", "credit_unit=token", "tokens_of_batch"),
        ),
        (
            GiGPO,
            {"normalise_unit": NormaliseUnit.steps_of_batch},
            ("normalise_unit", "baseline=state_group_mean", "steps_of_state_group"),
        ),
        (
            GRPO,
            {"normalise_unit": NormaliseUnit.own},
            ("normalise_unit=own", "baseline=group_mean", "steps_of_batch"),
        ),
        (GRPO, {"baseline": Baseline.own}, ("not what grpo computes", "group_mean")),
        (GRPO, GRAPH, ("not what grpo computes", "group_mean")),
        (GRPO, {"gamma": 0.9}, ("gamma=0.9", "credit_unit=trajectory", "gamma=1")),
        (GRPO, NO_BASELINE, ("baseline=none", "normalise_unit=trajectories_of_group", "leave_one_out")),
        (GRPO, {"lam": 0.9}, ("lam=0.9", "baseline=group_mean", "lam=1")),
        (G2PO, {"discount_unit": DiscountUnit.token}, ("discount_unit=token", "graph_value", "=step")),
        (PPO, {"gamma": 1.5}, ("gamma=1.5", "0 to 1")),
        (PPO, {"gamma": float("nan")}, ("gamma=nan", "0 to 1")),
        (PPO, {"dual_clip": 0.5}, ("dual_clip", "above 1")),
        (GRPO, {"kl_estimator": KLEstimator.none}, ("kl_coef=0.01", "kl_estimator=none")),
        (GRPO, KL_REWARD, ("kl_place=reward", "kl_estimator=none")),
        (GRPO, {"kl_estimator": KLEstimator.k1}, ("kl_estimator=k1", "kl_place=loss", "k2 or k3", "reward")),
        (APPO, K1_REWARD, ("kl_place=reward", "appo", "kl_place=loss")),
        (Oracle, K1_REWARD, ("kl_place=reward", "oracle", "kl_place=loss")),
        (RandomCredit, K1_REWARD, ("kl_place=reward", "random_credit", "kl_place=loss")),
        (Constant, {"kl_estimator": KLEstimator.k3, "kl_coef": 0.1}, ("kl_estimator=k3", "constant", "none")),
        (HGPO, {"alpha": 1000.0}, ("alpha=1000.0", "0 to 100")),
        (GiGPO, {"step_weight": 1e308}, ("step_weight=1e+308", "0 to 1e+06")),
        (GraphGPO, {"success_value": 1e200}, ("success_value=1e+200", "above 0, at most 1e+06")),
        (GRPO, {"equations": Equations.released, "invalid_penalty": -0.1}, ("invalid_penalty=-0.1", "0 to")),
        (GRPO, {"kl_coef": float("nan")}, ("kl_coef=nan", "0 to 1e+06")),
        (PPO, {"value_clip": float("inf")}, ("value_clip=inf", "above 0, at most 1e+06")),
        (GRPO, {"rollouts": 1}, ("at least 2",)),
        (GRPO, {"invalid_penalty": 0.1}, ("invalid_penalty=0.1", "equations=released")),
        (G2PO, {"rollouts": 1}, ("at least 2",)),
        (GiGPO, {"similarity": 1.5}, ("similarity=1.5", "at most 1")),
        (HGPO, {"history": -1}, ("history=-1",)),
        (
            ReinforcePPUnlinked,
            {"credit_unit": CreditUnit.step, "normalise_unit": NormaliseUnit.none},
            ("credit_unit=step", "credit_unit=token"),
        ),
        (
            GRPO,
            {"equations": Equations.released, "normalise_unit": NormaliseUnit.tokens_of_batch},
            ("equations=released", "normalise_unit=tokens_of_batch", "equations=paper"),
        ),
        (APPO, {"roots": 3}, ("roots=3", "multiple")),
        (APPO, {"roots": 0}, ("roots=0", "1 to")),
        (APPO, {"score": Score.entropy, "gain": Gain.lagged}, ("gain=lagged", "score=entropy", "minibatch")),
        (
            APPO,
            {"dual_group": False, "equations": Equations.released},
            ("dual_group=false", "equations=released", "equations=paper"),
        ),
        (APPO, {"normalise_unit": NormaliseUnit.none}, ("normalise_unit=none", "appo")),
        (APPO, {"credit_unit": CreditUnit.step, "normalise_unit": NormaliseUnit.none}, ("appo", "choose")),
        (ARPO, {"roots": 17}, ("roots=17", "rollouts=16")),
        (ARPO, {"beam": 0}, ("beam=0",)),
        (ARPO, {"equations": Equations.released}, ("equations=released", "choose equations=paper")),
        (TreeGRPO, {"equations": Equations.released}, ("equations=released", "choose equations=paper")),
        (TreeGRPO, {"rollouts": 8}, ("rollouts=8", "3 leaves")),
    ],
)
def test_clashes_are_refused_in_one_line(cls, options, words):
    with pytest.raises(UserError) as error:
        cls(**options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words), str(error.value)


PLAIN_POINTS = [
    dict(zip(("credit_unit", "baseline", "normalise_unit", "discount_unit", "gamma"), point, strict=True))
    for point in product(CreditUnit, PLAIN["baseline"], NormaliseUnit, DiscountUnit, (1.0, 0.9))
]


def test_every_plain_combination_is_refused_or_gives_credit(batch_of):
    values = np.random.default_rng(0).normal(size=12)
    batch = batch_of([[0, 0.5, 1.0], [0.0], [1.0, 0]], [[2, 1, 3], [2], [1, 3]], value_T=values)
    legal = 0
    for point in PLAIN_POINTS:
        try:
            algorithm = GRPO(**point)
        except UserError:
            continue
        legal += 1
        credit = algorithm.credit(batch)
        assert np.isfinite(credit.advantage_T).all(), point
        if algorithm.credit_unit is CreditUnit.trajectory:
            per_trajectory = [np.ptp(credit.advantage_T[batch.trajectory_T == n]) for n in range(3)]
            np.testing.assert_allclose(per_trajectory, 0, atol=1e-12)
        elif algorithm.credit_unit is CreditUnit.step:
            per_step = [np.ptp(credit.advantage_T[batch.step_T == s]) for s in range(6)]
            np.testing.assert_allclose(per_step, 0, atol=1e-12)
    # token: 4 baselines x 2 normalisations, step: 4 x 3, each with 3 discount units and 2 gammas;
    # trajectory (gamma 1): 2 comparisons x 4 normalisations and none x 3, 3 discount units.
    assert legal == (4 * 2 + 4 * 3) * 6 + (2 * 4 + 3) * 3


def test_group_baselines_on_every_unit_by_brute_force(batch_of):
    """Return to go less the mean of the group's, spelled out for steps."""
    batch = batch_of([[1.0, 2.0], [4.0]], tokens=[[1, 2], [1]])
    to_go = np.array([1 + 0.5 * 2, 2, 4])
    point = {"credit_unit": CreditUnit.step, "normalise_unit": NormaliseUnit.none, "gamma": 0.5}
    mean = GRPO(**point).credit(batch).advantage_T[[0, 1, 3]]
    np.testing.assert_allclose(mean, to_go - to_go.mean(), atol=1e-12)
    others = replace(GRPO(**point), baseline=Baseline.leave_one_out).credit(batch).advantage_T[[0, 1, 3]]
    np.testing.assert_allclose(others, [2 - 4, 2 - 4, 4 - 2], atol=1e-12)
    nothing = replace(GRPO(**point), baseline=Baseline.none).credit(batch).advantage_T[[0, 1, 3]]
    np.testing.assert_allclose(nothing, to_go, atol=1e-12)


def test_leaving_one_out_leaves_out_the_whole_trajectory(batch_of):
    """The mean over all steps (tokens) of the other trajectories of the task; alone in a task, nothing."""
    draw = np.random.default_rng(0)
    shape = [[1, 3], [2], [1, 1, 2], [2, 2]]
    groups = [0, 0, 0, 1]
    batch = batch_of([draw.normal(size=len(t)).tolist() for t in shape], tokens=shape, groups=groups)
    options = {"baseline": Baseline.leave_one_out, "normalise_unit": NormaliseUnit.none}
    for unit, owner_U in ((CreditUnit.step, batch.trajectory_S), (CreditUnit.token, batch.trajectory_T)):
        algorithm = GRPO(credit_unit=unit, **options)
        return_T = replace(algorithm, baseline=Baseline.none).credit(batch).advantage_T
        return_U = return_T[batch.first_token_S] if unit is CreditUnit.step else return_T
        expected_U = []
        for value, owner in zip(return_U, owner_U, strict=True):
            others = return_U[(batch.group_N[owner_U] == batch.group_N[owner]) & (owner_U != owner)]
            expected_U.append(value - others.mean() if len(others) else 0.0)
        expected_T = np.array(expected_U)[batch.step_T] if unit is CreditUnit.step else np.array(expected_U)
        np.testing.assert_allclose(algorithm.credit(batch).advantage_T, expected_T, atol=1e-12)


@dataclass(frozen=True, kw_only=True)
class Own(Constant):
    """Compares as no other does."""

    name = "own_comparison"
    computes: ClassVar[Computes] = {}

    baseline: Baseline = Baseline.own


def test_a_comparison_of_its_own_goes_with_every_unit():
    """A new method edits no table of the factors."""
    for unit in CreditUnit:
        usual = {NormaliseUnit.none, *NORMALISE_UNITS_OF[unit]}
        for normalise in NormaliseUnit:
            options = {"credit_unit": unit, "normalise_unit": normalise, "discount_unit": DiscountUnit.token}
            if normalise in {*usual, NormaliseUnit.own}:
                assert Own(**options).factors["baseline"] == "own"
            else:
                with pytest.raises(UserError, match=f"normalise_unit={normalise.value}"):
                    Own(**options)


def test_variants_are_options_not_copies():
    assert {gain.value for gain in Gain} == {"minibatch", "lagged", "engine"}
    assert APPO(equations=Equations.released).equations is Equations.released
