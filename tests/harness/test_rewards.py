"""What a policy is paid: the reward or success alone, on a scale, less a penalty for its form."""

import numpy as np
import pytest

from envs.base import Info, Task, Transition
from harness.compose import compose_run
from harness.config import RolloutConfig
from harness.config.schema import Reward
from harness.errors import UserError
from harness.policy.prompting import Reading
from harness.rollout.engine import Generation, Request
from harness.rollout.episodes import Episode, recorded
from harness.run import Run
from harness.store import RunDir
from tests.harness.test_predict import SMALL

PART, WHOLE = 0.4, 1.0


def paid(score: float, well_formed: bool = True, **options: object) -> float:
    """What a policy is paid for the step that ends an episode of a graded environment."""
    info = Info("end", valid=well_formed, success=score == WHOLE, score=score)
    asked = Generation(Request((1,), (), (0, 0, 0), False), (2,), [0.0], [0.0])
    reading = Reading("buy now") if well_formed else Reading("", False, penalty=0.1)
    end = Transition("", score, True, False, info)
    return recorded(Episode(Task("a", 0), 0, 0, 0), asked, reading, end, RolloutConfig(**options)).reward


def test_what_a_policy_is_paid():
    success, ten = {"reward": Reward.success}, {"reward_scale": 10.0}
    assert (paid(PART), paid(WHOLE)) == (0.4, 1.0), "by default what the environment pays"
    assert (paid(PART, **ten), paid(WHOLE, **ten)) == (4.0, 10.0)
    assert (paid(PART, **success, **ten), paid(WHOLE, **success, **ten)) == (0.0, 10.0), "10 / 0 as published"
    assert paid(0.0, well_formed=False, **success, **ten) == -0.1, "penalties are not multiplied"


def test_a_scale_reaches_the_credit_of_real_episodes(tmp_path):
    """Advantages that are only centred are ten times larger; who solved what is as before."""
    seen = []
    for scale in (1, 10):
        options = ["algorithm=dr_grpo", f"rollout.reward_scale={scale}", *SMALL, "env.horizon=12"]
        config = compose_run([*options, "batch.trajectories=128", "env.rooms=2", "env.key=false"])
        run = Run(config, RunDir.create(tmp_path / str(scale), config), tmp_path)
        roots = run.sampler.play_roots(range(16))
        trajectories, _ = run.sampler.play_branches(roots, sampler_is_current=True)
        batch = run.sampler.batch(trajectories)
        seen.append((batch.success_N, batch.reward_N, config.algorithm.credit(batch).advantage_T))
    (won, rewards, advantages), (won_ten, rewards_ten, advantages_ten) = seen
    assert 0 < won.sum() < len(won), "some solve it, some do not"
    assert (won == won_ten).all()
    assert (rewards_ten == 10 * rewards).all()
    np.testing.assert_allclose(advantages_ten, 10 * advantages, atol=1e-6)


@pytest.mark.parametrize("option", ["rollout.reward_scale=10", "rollout.reward=success"])
def test_true_values_are_of_what_is_paid(option):
    compose_run(["algorithm=oracle"])
    with pytest.raises(UserError, match=r"rollout\.reward=paid and rollout\.reward_scale=1"):
        compose_run(["algorithm=oracle", option])


@pytest.mark.parametrize("scale", ["0", "-1", "2000"])
def test_scales_that_mean_nothing_are_refused(scale):
    with pytest.raises(UserError, match="must be above 0 and at most 1000"):
        compose_run([f"rollout.reward_scale={scale}"])
