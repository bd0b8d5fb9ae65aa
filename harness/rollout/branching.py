"""Continuations of finished episodes: restore the environment, keep the tokens before the branch point."""

from algorithms.base import BranchPoint
from envs.base import Environment, Info
from harness.records import Branch
from harness.rollout.episodes import EnvironmentPool, Episode


def continuation(
    parent: Episode, point: BranchPoint, rollout: int, pool: EnvironmentPool
) -> tuple[Episode, int]:
    """An episode that leaves `parent` at `point`, and the environment steps replayed to get there.

    `point.trajectory` becomes the branch's parent index. Raises RuntimeError where the environment does not
    come back to the recorded state: it can't be branched.
    """
    saved = parent.snapshots[point.step]
    if saved.environment is not None:
        environment, replayed = saved.environment.copy(), 0
        assert environment is not None
        observation, info = saved.observation, None
    else:
        environment, replayed = pool.take(parent.task), point.step
        observation, info = replay(environment, parent, point.step)
        if observation != saved.observation:
            raise RuntimeError(f"{parent.task.id}: replay of {point.step} actions gave another observation")
    episode = Episode(
        task=parent.task,
        group=parent.group,
        rollout=rollout,
        draw=parent.draw,
        seed=parent.seed,
        environment=environment,
        observation=observation,
        info=info or Info(parent.steps[point.step].state_key, ()),
        steps=parent.steps[: point.step],
        past=list(saved.past),
        kept=parent.steps[point.step],
        branch=Branch(point.trajectory, point.step, point.token),
    )
    return episode, replayed


def replay(environment: Environment, parent: Episode, steps: int) -> tuple[str, Info]:
    """Reset and repeat the parent's first actions, asserting each state on the way."""
    observation, info = environment.reset(parent.task, parent.seed)
    for number in range(steps + 1):
        recorded = parent.steps[number].state_key
        if info.state_key != recorded:
            raise RuntimeError(
                f"{parent.task.id}: replay of {number} actions gave state {info.state_key}, not {recorded}"
            )
        if number < steps:
            observation, _, _, _, info = environment.step(parent.steps[number].action)
    return observation, info
