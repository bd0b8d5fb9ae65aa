"""Continuations of finished episodes: restore the environment, keep the tokens before the branch point."""

from algorithms.base import BranchPoint
from envs.base import Environment
from harness.records import Branch
from harness.rollout.episodes import EnvironmentPool, Episode


def continuation(
    parent: Episode, point: BranchPoint, rollout: int, pool: EnvironmentPool
) -> tuple[Episode, int]:
    """An episode that leaves `parent` at `point`, and the environment steps replayed to get there.

    `point.trajectory` becomes the branch's parent index. The parent may be a continuation itself. Raises
    RuntimeError where the environment does not come back to the recorded state: it can't be branched.
    """
    saved = parent.snapshots[point.step]
    if saved.environment is not None:
        environment, replayed = saved.environment.copy(), 0
        assert environment is not None
    else:
        environment, replayed = pool.take(parent.task), point.step
        observation = replay(environment, parent, point.step)
        if observation != saved.observation:
            raise RuntimeError(f"{parent.task.id}: replay of {point.step} actions gave another observation")
    assert_state(environment, parent, point.step)
    episode = Episode(
        task=parent.task,
        group=parent.group,
        rollout=rollout,
        seed=parent.seed,
        environment=environment,
        observation=saved.observation,
        info=saved.info,
        steps=parent.steps[: point.step],
        past=list(saved.past),
        kept=parent.steps[point.step],
        branch=Branch(point.trajectory, point.step, point.token),
        snapshots=parent.snapshots[: point.step],
    )
    return episode, replayed


def replay(environment: Environment, parent: Episode, steps: int) -> str:
    """Reset and repeat the parent's first actions, asserting the state before each; the last observation."""
    observation, _ = environment.reset(parent.task, parent.seed)
    for number in range(steps):
        assert_state(environment, parent, number)
        observation = environment.step(parent.steps[number].action).observation
    return observation


def assert_state(environment: Environment, parent: Episode, step: int) -> None:
    """Raise RuntimeError unless the environment is in the state that the parent was in before `step`."""
    state, recorded = environment.state_key, parent.steps[step].state_key
    if state != recorded:
        raise RuntimeError(
            f"{parent.task.id}: restored after {step} actions, the state is {state}, not {recorded}: "
            "this environment can't be branched"
        )
