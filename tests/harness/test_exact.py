"""Exact values of a policy against playing it, and against their own definition."""

from dataclasses import replace

import numpy as np
import pytest

from envs.vault import VaultSpec
from harness.compose import compose_run
from harness.errors import UserError
from harness.ledger import Phase
from harness.policy.exact import Situations
from harness.records import Trajectory
from harness.rollout.account import Account
from harness.rollout.episodes import Episode
from harness.run import Run
from harness.store import RunDir
from tests.harness.conftest import SPEC


def ignore(_rows) -> None:
    """Costs are of no interest here."""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A cell of one short task, before training: its policy is warm-started, so it wins now and then."""
    cell = compose_run(
        [
            "algorithm=oracle",
            "env.rooms=2",
            "env.key=false",
            "env.horizon=8",
            "env.train_tasks=1",
            "env.eval_tasks=1",
            "model.clone_updates=40",
            "batch.minibatches=1",
        ]
    )
    folder = tmp_path_factory.mktemp("exact")
    return Run(cell, RunDir.create(folder, cell), folder)


def play(run: Run, count: int) -> list[Trajectory]:
    (task,) = run.config.env.training_panel()
    episodes = [Episode(task, group=0, rollout=r, seed=0) for r in range(count)]
    run.player.play(episodes, "rollout", Account(run.ledger, run.learner.policy_forms, Phase.decode))
    return [episode.trajectory() for episode in episodes]


def expected_at_start(run: Run) -> float:
    (task,) = run.config.env.training_panel()
    values = run.trainer.sources.true_values.values(task.id, run.learner.policy, ignore)
    return float(values[run.config.env.horizon, 0])


def test_values_are_success_rates(run):
    rate = np.mean([trajectory.success for trajectory in play(run, 3000)])
    exact = expected_at_start(run)
    assert 0.02 < exact < 0.98
    assert rate == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 3000))


def test_advantages_of_a_trajectory_telescope(run):
    """Sum over its steps of Q - V = what happened - what was expected at the start."""
    trajectories = play(run, 50)
    advantages = run.trainer.sources.true_values.advantages(trajectories, run.learner.policy, ignore)
    ends = np.cumsum([len(t.steps) for t in trajectories])
    sums = [part.sum() for part in np.split(advantages, ends[:-1])]
    np.testing.assert_allclose(sums, [t.reward - expected_at_start(run) for t in trajectories], atol=1e-6)


def test_situations_are_what_play_meets(run):
    situations = Situations.of(run.config.env, run.config.env.training_panel()[0])
    met = {(step.observation, step.state_key) for t in play(run, 200) for step in t.steps}
    assert met <= set(situations.number)


@pytest.mark.parametrize("overrides", [["env.slip=0.1"], ["env.history=1"], ["env=household"]])
def test_where_there_are_no_true_values_the_oracle_is_refused(overrides):
    with pytest.raises(UserError, match="true values") as error:
        compose_run(["algorithm=oracle", *overrides])
    assert "choose env=vault" in str(error.value)


def test_an_environment_that_is_not_repeatable_is_not_branched(monkeypatch):
    monkeypatch.setattr(VaultSpec, "repeatable", False)
    compose_run(["algorithm=grpo"])
    for name in ("appo", "arpo", "tree_grpo"):
        with pytest.raises(UserError, match=f"algorithm={name} branches") as error:
            compose_run([f"algorithm={name}"])
        assert "choose an algorithm without branches" in str(error.value)
    assert compose_run(["algorithm=appo_future"]).algorithm.plan().branches == 0


def test_too_many_situations_are_refused(monkeypatch):
    monkeypatch.setattr("harness.policy.exact.MOST_SITUATIONS", 5)
    spec = replace(SPEC, train_tasks=1, eval_tasks=1)
    with pytest.raises(UserError, match="more than 5 situations"):
        Situations.of(spec, spec.training_panel()[0])
