"""Plays episodes: prompts, samples, steps, records. Finished episodes leave the batch at once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from envs.base import Environment, EnvironmentSpec, Info, Task
from harness.policy.prompting import Prompting, Turn
from harness.records import Branch, Step, Trajectory
from harness.rollout.account import Account
from harness.rollout.engine import Generation, Request, TorchEngine


@dataclass(frozen=True)
class Snapshot:
    """Where an episode stood before a step."""

    environment: Environment | None
    """A copy of the environment, or None where only replay can restore it."""
    observation: str
    info: Info
    past: tuple[Turn, ...]
    """The turns so far."""


@dataclass
class Episode:
    """One episode in play."""

    task: Task
    group: int
    """Number of the task's draw in the run: with `rollout`, it keys every random number of the episode."""
    rollout: int
    seed: int
    """The environment's noise."""
    environment: Environment | None = None
    observation: str = ""
    info: Info | None = None
    steps: list[Step] = field(default_factory=list)
    past: list[Turn] = field(default_factory=list)
    kept: Step | None = None
    """For a continuation: the parent's step whose first tokens are kept."""
    branch: Branch | None = None
    over: bool = False
    truncated: bool = False
    success: bool = False
    snapshots: list[Snapshot] = field(default_factory=list)

    def trajectory(self) -> Trajectory:
        """The record of the finished episode."""
        return Trajectory(
            task_id=self.task.id,
            group=self.group,
            rollout=self.rollout,
            steps=tuple(self.steps),
            success=self.success,
            truncated=self.truncated,
            branch=self.branch,
        )


class EnvironmentPool:
    """Environments between episodes, by task: loading a real game is dear, resetting it is cheap."""

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.spec = spec
        self._free: defaultdict[str, list[Environment]] = defaultdict(list)

    def take(self, task: Task) -> Environment:
        """A free environment that last played this task, or a new one."""
        free = self._free[task.id]
        return free.pop() if free else self.spec.make()

    def give_back(self, task: Task, environment: Environment) -> None:
        """Return an environment whose episode is over."""
        self._free[task.id].append(environment)

    def close(self) -> None:
        """Close every environment in the pool."""
        for environments in self._free.values():
            for environment in environments:
                environment.close()
        self._free.clear()


class Player:
    """Plays batches of episodes with one engine."""

    def __init__(self, engine: TorchEngine, prompts: Prompting, pool: EnvironmentPool, seed: int) -> None:
        self.engine, self.prompts, self.pool, self.seed = engine, prompts, pool, seed

    def play(
        self,
        episodes: Sequence[Episode],
        purpose: str,
        account: Account,
        *,
        greedy: bool = False,
        keep_snapshots: bool = False,
    ) -> None:
        """Play `episodes` to their ends and book what that costs.

        Episodes without an environment are reset first; continuations come with theirs restored.
        """
        for episode in episodes:
            if episode.environment is None:
                episode.environment = self.pool.take(episode.task)
                episode.observation, episode.info = episode.environment.reset(episode.task, episode.seed)
        live = list(episodes)
        while live:
            requests = [self._request(episode) for episode in live]
            generations, usage = self.engine.generate(requests, self.seed, purpose, greedy)
            account.generated(usage)
            for episode, request, generation in zip(live, requests, generations, strict=True):
                if keep_snapshots:
                    episode.snapshots.append(snapshot(episode))
                self._step(episode, request, generation)
            account.stepped([episode.steps[-1] for episode in live])
            live = [episode for episode in live if not episode.over]

    def _request(self, episode: Episode) -> Request:
        assert episode.info is not None
        admissible = episode.info.admissible
        prompt = self.prompts.prompt(episode.task.goal, episode.past, episode.observation, admissible)
        kept = episode.kept.response_ids[: episode.branch.token] if episode.kept and episode.branch else ()
        return Request(prompt, kept, (episode.group, episode.rollout, len(episode.steps)))

    def _step(self, episode: Episode, request: Request, generation: Generation) -> None:
        assert episode.environment is not None
        assert episode.info is not None
        response_ids = (*request.kept_ids, *generation.ids)
        admissible = episode.info.admissible
        action = self.prompts.action(response_ids, admissible)
        observation, reward, terminated, truncated, info = episode.environment.step(action)
        given = len(request.kept_ids)
        kept_logprobs = episode.kept.logprob_L[:given] if episode.kept else ()
        kept_entropies = episode.kept.entropy_L[:given] if episode.kept else ()
        episode.steps.append(
            Step(
                prompt_ids=request.prompt_ids,
                response_ids=response_ids,
                logprob_L=np.array([*kept_logprobs, *generation.logprobs], dtype=np.float32),
                entropy_L=np.array([*kept_entropies, *generation.entropies], dtype=np.float32),
                observation=episode.observation,
                action=action,
                state_key=episode.info.state_key,
                reward=reward,
                valid=info.valid,
            )
        )
        episode.kept = None
        episode.past.append(Turn(episode.observation, action, response_ids, admissible))
        episode.observation, episode.info = observation, info
        episode.truncated, episode.success = truncated, info.success
        episode.over = terminated or truncated
        if episode.over:
            self.pool.give_back(episode.task, episode.environment)
            episode.environment = None


def snapshot(episode: Episode) -> Snapshot:
    """Where the episode stands now."""
    assert episode.environment is not None
    assert episode.info is not None
    environment = episode.environment.copy()
    return Snapshot(environment, episode.observation, episode.info, tuple(episode.past))
