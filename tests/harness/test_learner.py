"""What a learner goes on with after a resume, beside weights and moments."""

import pytest

from harness.compose import compose_run
from harness.ledger import Ledger
from harness.policy.model import new_policy
from harness.update.learner import Learner
from tests.harness.conftest import SPEC


def learner(critic: str) -> Learner:
    config = compose_run(["algorithm=ppo", "model.schedule=linear", f"model.critic={critic}"])
    policy = new_policy(config.model, SPEC, 30, seed=0)
    return Learner(policy, config.algorithm, config.model, config.batch, 40, Ledger())


def rates(of: Learner) -> list[float]:
    optimizers = [each for each in (of.policy_optimizer, of.critic_optimizer) if each]
    return [group.lr for optimizer in optimizers for group in optimizer.groups]


@pytest.mark.parametrize("critic", ["separate", "head"])
def test_a_resumed_learner_follows_its_schedule(critic):
    """An optimiser that loads its state has other groups than before."""
    calm, resumed = learner(critic), learner(critic)
    resumed.load(calm.moments())
    for fraction in (0.0, 0.5, 1.0):
        for each in (calm, resumed):
            each.set_rates(fraction)
        assert rates(resumed) == rates(calm) == pytest.approx([1e-3 * (1 - fraction), 2e-3 * (1 - fraction)])
