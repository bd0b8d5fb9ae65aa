"""Continuations of finished episodes: restore the environment, keep the tokens before the branch point."""

from functools import partial

from algorithms.base import BranchPoint
from envs.base import Environment
from harness.records import Branch
from harness.rollout.environments import Crash, EnvironmentPool, NotRestored, answer
from harness.rollout.episodes import NOWHERE, Episode


def continuation(
    parent: Episode, point: BranchPoint, rollout: int, pool: EnvironmentPool
) -> tuple[Episode, int]:
    """An episode that leaves `parent` at `point`, and the environment steps replayed to get there.

    `point.trajectory` becomes the branch's parent index. The parent may be a continuation itself. Raises
    `NotRestored` if the environment does not come back to the recorded state: it can't be branched.
    """
    saved = parent.snapshots[point.step]
    episode = Episode(
        task=parent.task,
        group=parent.group,
        rollout=rollout,
        seed=parent.seed,
        observation=saved.observation,
        info=saved.info,
        steps=parent.steps[: point.step],
        past=list(saved.past),
        metrics=dict(saved.info.metrics),
        kept=parent.steps[point.step],
        branch=Branch(point.trajectory, point.step, point.token),
        snapshots=parent.snapshots[: point.step],
    )
    if saved.info is NOWHERE:
        episode.failure, episode.crash = parent.failure, parent.crash
        return episode, 0
    restored = answer(partial(restore, parent, point.step, pool))
    if isinstance(restored, Crash):
        episode.fail(restored)
    elif isinstance(restored, Environment):
        episode.environment = restored
    return episode, point.step if saved.environment is None else 0


def restore(parent: Episode, step: int, pool: EnvironmentPool) -> Environment:
    """An environment in the state that the parent was in before `step`: a copy, or a replay."""
    saved = parent.snapshots[step]
    if saved.environment is not None:
        environment = saved.environment.copy()
        assert environment is not None
    else:
        environment = pool.take(parent.task)
        observation = replay(environment, parent, step)
        if observation != saved.observation:
            raise NotRestored(f"{parent.task.id}: replay of {step} actions gave another observation")
    assert_state(environment, parent, step)
    return environment


def replay(environment: Environment, parent: Episode, steps: int) -> str:
    """Reset and repeat the parent's first actions, asserting the state before each; the last observation."""
    observation, _ = environment.reset(parent.task, parent.seed)
    for number in range(steps):
        assert_state(environment, parent, number)
        observation = environment.step(parent.steps[number].action).observation
    return observation


def assert_state(environment: Environment, parent: Episode, step: int) -> None:
    """Raise `NotRestored` unless the environment is in the state that the parent was in before `step`."""
    state, recorded = environment.state_key, parent.steps[step].state_key
    if state != recorded:
        raise NotRestored(
            f"{parent.task.id}: restored after {step} actions, the state is {state}, not {recorded}: "
            "this environment can't be branched"
        )
