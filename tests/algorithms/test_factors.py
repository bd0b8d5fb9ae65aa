"""The factor space: published settings, and what is refused."""

import pytest

from algorithms.appo import APPO
from algorithms.base import Algorithm, Baseline, CreditUnit, KLEstimator, NormaliseUnit
from algorithms.g2po import G2PO
from algorithms.gigpo import GiGPO
from algorithms.grpo import GRPO
from algorithms.ppo import PPO
from algorithms.steppo import StepPO
from harness.errors import UserError

VERL_AGENT = {
    # verl-agent, run_alfworld.sh of GRPO, GiGPO and G2PO: k3 .01, clip .2/.2, c 3, token mean.
    "ratio_unit": "token",
    "aggregation": "token_mean",
    "clip_low": 0.2,
    "clip_high": 0.2,
    "dual_clip": 3.0,
    "kl_estimator": "k3",
    "kl_coef": 0.01,
}
STEPPO_SCRIPTS = {
    # StepPO @ 26107f1, run_hotpotqa_{step,token}_adv.sh: gamma .99, lam 1, clip .2/.2, no KL.
    "aggregation": "step_mean",
    "gamma": 0.99,
    "lam": 1.0,
    "clip_low": 0.2,
    "clip_high": 0.2,
    "kl_coef": 0.0,
    "value_clip": 0.5,
}
PUBLISHED = {
    StepPO: {**STEPPO_SCRIPTS, "credit_unit": "step", "ratio_unit": "step", "dual_clip": 0.0},
    PPO: {**STEPPO_SCRIPTS, "credit_unit": "token", "ratio_unit": "token", "dual_clip": 3.0},
    GRPO: {**VERL_AGENT, "credit_unit": "trajectory"},
    GiGPO: {**VERL_AGENT, "credit_unit": "step", "gamma": 0.95, "entropy_coef": 0.001},
    G2PO: {**VERL_AGENT, "credit_unit": "step", "gamma": 0.95, "entropy_coef": 0.001},
    APPO: {
        # APPO's appendix: beta 0; the scripts' clip .2/.28 and c 3, as the paper gives no eps.
        "ratio_unit": "token",
        "aggregation": "seq_mean_token_mean",
        "clip_low": 0.2,
        "clip_high": 0.28,
        "dual_clip": 3.0,
        "kl_coef": 0.0,
    },
}


@pytest.mark.parametrize("cls", PUBLISHED, ids=lambda cls: cls.name)
def test_defaults_are_the_published_setting(cls: type[Algorithm]):
    factors = cls().factors
    assert {name: factors[name] for name in PUBLISHED[cls]} == PUBLISHED[cls]


def test_published_extras():
    assert (APPO().rollouts, APPO().roots, APPO().future_weight, APPO().half_life) == (16, 4, 0.5, 32.0)
    assert (GRPO().rollouts, GiGPO().rollouts, G2PO().rollouts) == (8, 8, 8)
    assert (GiGPO().step_weight, G2PO().graph_weight) == (1.0, 1.0)


GRAPH = {
    "baseline": Baseline.graph_value,
    "credit_unit": CreditUnit.step,
    "normalise_unit": NormaliseUnit.edges_of_graph,
}


@pytest.mark.parametrize(
    ("cls", "options", "words"),
    [
        (PPO, {"credit_unit": CreditUnit.step}, ("credit_unit=step", "baseline=token_critic", "choose")),
        (GRPO, {"normalise_unit": NormaliseUnit.steps_of_batch}, ("normalise_unit", "credit_unit", "choose")),
        (GRPO, GRAPH, ("not what grpo computes", "group_mean")),
        (PPO, {"gamma": 1.5}, ("gamma=1.5", "0 to 1")),
        (PPO, {"dual_clip": 0.5}, ("dual_clip", "above 1")),
        (GRPO, {"kl_estimator": KLEstimator.none}, ("kl_coef=0.01", "kl_estimator=none")),
        (GRPO, {"rollouts": 1}, ("at least 2",)),
        (APPO, {"roots": 3}, ("roots=3", "multiple")),
    ],
)
def test_clashes_are_refused_in_one_line(cls, options, words):
    with pytest.raises(UserError) as error:
        cls(**options)
    assert "\n" not in str(error.value)
    assert all(word in str(error.value) for word in words)
