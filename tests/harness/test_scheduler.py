"""The scheduler: who waits for whom changes nothing, and an environment's trouble is its episode's alone."""

import json
import time
from dataclasses import dataclass, replace

import numpy as np
import pytest

from algorithms.grpo import GRPO
from envs.base import Task, Transition
from envs.vault import Vault, VaultSpec
from harness.compose import compose_run
from harness.config import RolloutConfig
from harness.errors import UserError
from harness.records import Branch, Step, StopReason, Trajectory
from harness.rollout.environments import EnvironmentPool
from harness.rollout.episodes import Episode, Player
from harness.rollout.sampler import without_lost
from harness.rollout.torch_engine import TorchEngine
from harness.run import Run
from harness.store import RunDir
from tests.harness.conftest import SPEC

TROUBLED = 1
"""The seed of the episodes whose environment is in trouble, at their second step."""
MODES = [
    RolloutConfig(),
    RolloutConfig(barrier=False),
    RolloutConfig(timeout=60.0),
    RolloutConfig(barrier=False, timeout=60.0),
]


@dataclass(frozen=True)
class TroubleSpec(VaultSpec):
    """A vault some of whose environments crash, hang or refuse."""

    trouble: str = ""

    def make(self) -> "Troubled":
        return Troubled(self)


class Troubled(Vault):
    def reset(self, task: Task, seed: int = 0):
        self.troubled, self.steps_taken = seed == TROUBLED, 0
        return super().reset(task, seed)

    def step(self, action: str) -> Transition:
        self.steps_taken += 1
        if self.spec.trouble == "broken":
            raise ValueError("no game")
        if self.spec.trouble == "often" and self.seed % 4 == 1:
            raise ConnectionError("the server is gone")
        if self.troubled and self.steps_taken == 2:
            match self.spec.trouble:
                case "crash":
                    raise ValueError("the game\nhas crashed")
                case "hang":
                    time.sleep(20)
                case "refuse":
                    raise UserError("env.rooms: there is no such game")
        return super().step(action)


@pytest.fixture
def play(policy, prompts, account):
    """Plays two tasks, three episodes each; returns them."""

    def play(rollout: RolloutConfig, trouble: str = "", cache_tokens: int = 2**17) -> list[Episode]:
        spec = TroubleSpec(horizon=SPEC.horizon, trouble=trouble)
        panel = spec.training_panel()
        episodes = [Episode(panel[i], group=i, rollout=r, seed=r) for i in range(2) for r in range(3)]
        engine = TorchEngine(
            policy, prompts.end_id, spec.max_prompt_tokens, spec.max_action_tokens, cache_tokens
        )
        Player(engine, prompts, EnvironmentPool(spec), 5, rollout).play(episodes, "rollout", account)
        return episodes

    return play


def transcript(episode: Episode) -> tuple[object, ...]:
    steps = [(step.prompt_ids, step.response_ids, step.reward) for step in episode.steps]
    return episode.task, episode.rollout, episode.success, tuple(steps)


@pytest.mark.parametrize("mode", MODES[1:])
def test_nobody_gets_another_episode_without_waiting(play, mode):
    expected = play(RolloutConfig())
    assert [transcript(episode) for episode in play(mode)] == [transcript(episode) for episode in expected]


def test_more_episodes_than_the_cache_has_room_for(play):
    longest = SPEC.max_prompt_tokens + SPEC.max_action_tokens
    expected = [transcript(episode) for episode in play(RolloutConfig())]
    assert [transcript(each) for each in play(RolloutConfig(), cache_tokens=2 * longest)] == expected


@pytest.mark.parametrize("mode", MODES)
def test_a_crash_fails_its_episode_alone(play, mode, capsys):
    expected, found = play(mode), play(mode, "crash")
    for before, after in zip(expected, found, strict=True):
        if after.seed != TROUBLED:
            assert transcript(after) == transcript(before)
            assert not after.failure
            continue
        record = after.trajectory()
        assert record.failure == "ValueError: the game has crashed"
        assert record.stop is StopReason.crash
        assert not record.success
        assert record.steps[0].response_ids == before.steps[0].response_ids
        assert len(record.steps) == 2, "the step that failed is kept"
    assert capsys.readouterr().err.count("the game has crashed") == 2


@pytest.mark.parametrize("barrier", [True, False])
def test_a_hanging_environment_runs_out_of_time(play, barrier):
    found = play(RolloutConfig(barrier=barrier, timeout=5.0), "hang")
    for episode in found:
        assert episode.over
        late = "time-out: its environment took more than 5 seconds" if episode.seed == TROUBLED else ""
        assert episode.failure == late
        assert (episode.stop is StopReason.timeout) == bool(late)


@pytest.mark.parametrize("mode", MODES)
def test_bad_input_is_no_crash(play, mode):
    with pytest.raises(UserError, match="there is no such game"):
        play(mode, "refuse")


def start(tmp_path, trouble: str, *overrides: str) -> Run:
    config = compose_run(
        [
            *("algorithm=grpo", "algorithm.rollouts=4", "batch.trajectories=8", "batch.minibatches=1"),
            *("model.clone_updates=0", "budget.axis=trajectories", "budget.limit=8", "env.horizon=6"),
            *("evaluation.points=1", "evaluation.window=1", "evaluation.episodes=1", "evaluation.record=0"),
            *overrides,
        ]
    )
    config = replace(config, env=TroubleSpec(horizon=6, eval_tasks=1, trouble=trouble))
    return Run(config, RunDir.create(tmp_path, config), tmp_path)


def test_a_run_outlives_a_crash_and_counts_it(tmp_path):
    run = start(tmp_path, "crash")
    run.finish()
    trained = [json.loads(line) for line in run.run_dir.metrics.open()][1]
    assert trained["train_failures"] == 1 / 8, "of two tasks' four episodes, the one with that seed"
    assert trained["train_stop_crash"] == 1 / 8


def test_a_lost_episode_is_neither_trained_on_nor_scored(tmp_path, monkeypatch):
    """The same run without the environment's trouble, less one episode: nothing of it reaches credit."""
    credited = []
    credit = GRPO.credit
    monkeypatch.setattr(GRPO, "credit", lambda self, batch: credited.append(batch) or credit(self, batch))
    run = start(tmp_path, "crash")
    run.finish()
    (batch,) = credited
    assert len(batch.group_N) == 7
    assert sorted(np.bincount(batch.group_N).tolist()) == [3, 4]
    line = next(json.loads(line) for line in run.run_dir.metrics.open() if '"train"' in line)
    sampled = line["train_success"] * 7
    assert sampled == pytest.approx(round(sampled)), "a mean over seven"


def test_a_run_that_loses_too_many_episodes_fails(tmp_path):
    words = r"1 of 1 episodes were lost .* \(rollout.max_lost=0.1\), the last one by ValueError: no game"
    with pytest.raises(RuntimeError, match=words):
        start(tmp_path, "broken").finish()
    with pytest.raises(RuntimeError, match="4 of 16 episodes were lost"):
        start(tmp_path, "often", "batch.trajectories=16", "budget.limit=16").finish()
    start(tmp_path, "often", "batch.trajectories=16", "budget.limit=16", "rollout.max_lost=0.3").finish()


def test_what_continues_a_lost_trajectory_is_lost_with_it():
    step = Step((1,), (2, 3), np.zeros(2, np.float32), np.zeros(2, np.float32), "", "", "", 0.0, True)

    def ended(stop: StopReason, parent: int | None = None) -> Trajectory:
        branch = None if parent is None else Branch(parent, 0, 1)
        return Trajectory("t", 0, 0, (step,), False, stop, 0.0, branch)

    roots = [ended(StopReason.horizon), ended(StopReason.crash), ended(StopReason.failed)]
    branches = [ended(StopReason.horizon, 1), ended(StopReason.horizon, 2), ended(StopReason.timeout, 0)]
    kept, current_T = without_lost([*roots, *branches], np.arange(6.0))
    stops = [trajectory.stop for trajectory in kept]
    assert stops == [StopReason.horizon, StopReason.failed, StopReason.horizon]
    assert [trajectory.branch and trajectory.branch.parent for trajectory in kept] == [None, None, 1]
    assert current_T.tolist() == [0, 1, 4, 5]
    assert without_lost([roots[0], roots[2]], None) == ([roots[0], roots[2]], None)
