"""Plays episodes: prompts, samples, steps, records."""

import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter

import numpy as np

from envs.base import Environment, Info, Task, Transition
from harness.config import RolloutConfig
from harness.policy.prompting import Prompting, Turn
from harness.records import Branch, Step, Trajectory
from harness.rollout.account import Account
from harness.rollout.engine import Engine, Generation, Request
from harness.rollout.environments import AtOnce, Crash, EnvironmentPool, InTurn

NOWHERE = Info(state_key="", admissible=(), valid=False)
"""Where an episode is whose environment did not even begin. The policy acts once, on nothing."""
FAILED = Transition(observation="", reward=0.0, terminated=True, truncated=False, info=NOWHERE)
"""What an action leads to whose environment failed."""


@dataclass(frozen=True)
class Snapshot:
    """Where an episode stood before a step."""

    environment: Environment | None
    """A copy of the environment, or None where only replay can restore it."""
    observation: str
    info: Info
    past: tuple[Turn, ...]
    """The turns so far."""


@dataclass(eq=False)
class Episode:
    """One episode in play."""

    task: Task
    group: int
    """Number of the task's draw in the run: with `rollout`, it keys every random number of the episode."""
    rollout: int
    seed: int
    """The environment's noise."""
    greedy: bool = False
    """Whether the likeliest tokens are taken."""
    environment: Environment | None = None
    observation: str = ""
    info: Info = NOWHERE
    steps: list[Step] = field(default_factory=list)
    past: list[Turn] = field(default_factory=list)
    kept: Step | None = None
    """For a continuation: the parent's step whose first tokens are kept."""
    branch: Branch | None = None
    over: bool = False
    truncated: bool = False
    success: bool = False
    failure: str = ""
    """Why its environment failed, if it did. The episode is then no success."""
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
            failure=self.failure,
        )

    def take_over(self, record: Trajectory) -> None:
        """Be the finished episode that another process played."""
        self.steps, self.branch, self.over = list(record.steps), record.branch, True
        self.success, self.truncated, self.failure = record.success, record.truncated, record.failure

    def fail(self, reason: str) -> None:
        """Its environment failed and is used no more; said in the run's log."""
        if not self.failure:
            print(f"{self.task.id}, draw {self.group}, rollout {self.rollout}: {reason}", file=sys.stderr)
            self.failure, self.environment = reason, None


@dataclass(frozen=True)
class Begun:
    """A restored or reset environment."""

    environment: Environment
    observation: str
    info: Info


@dataclass(frozen=True)
class Acted:
    """A step that was taken."""

    before: Environment | None
    """A copy from before the step."""
    transition: Transition


class Player:
    """Plays batches of episodes with one engine."""

    def __init__(
        self,
        engine: Engine,
        prompts: Prompting,
        pool: EnvironmentPool,
        seed: int,
        rollout: RolloutConfig | None = None,
    ) -> None:
        self.engine, self.prompts, self.pool, self.seed = engine, prompts, pool, seed
        self.rollout = rollout or RolloutConfig()

    def play(
        self,
        episodes: Sequence[Episode],
        purpose: str,
        account: Account,
        *,
        keep_snapshots: bool = False,
    ) -> None:
        """Play `episodes` to their ends and book what that costs.

        Episodes without an environment are reset first; continuations come with theirs restored. An episode
        whose environment crashes, or runs out of time, is a failure.
        """
        timeout, barrier = self.rollout.timeout, self.rollout.barrier
        calls = AtOnce(timeout) if timeout else InTurn()
        waiting, playing = deque(range(len(episodes))), 0
        asked: dict[Request, int] = {}
        acting: dict[int, Generation] = {}
        while waiting or playing:
            while waiting and playing < self.engine.room:
                number, playing = waiting.popleft(), playing + 1
                calls.start(number, partial(begin, episodes[number], self.pool))
            if calls and not (barrier and self.engine.busy):
                account.generated(self.engine.take_usage())
                answers = calls.collect(all_of_them=barrier, wait=not self.engine.busy)
                if barrier:  # so that batches do not depend on which thread was faster
                    answers.sort(key=itemgetter(0))
                steps = []
                for number, answer in answers:
                    if generation := acting.pop(number, None):
                        steps.append(self._acted(episodes[number], generation, answer, keep_snapshots))
                    else:
                        begun(episodes[number], answer)
                account.stepped(steps)
                going = [number for number, _ in answers if not episodes[number].over]
                playing -= len(answers) - len(going)
                requests = {self._request(episodes[number]): number for number in going}
                asked |= requests
                self.engine.add(list(requests), self.seed, purpose)
            for generation in self.engine.step() if self.engine.busy else ():
                number = asked.pop(generation.request)
                acting[number] = generation
                admissible = episodes[number].info.admissible
                action = self.prompts.action(generation.response_ids, admissible)
                calls.start(number, partial(act, episodes[number], action, keep_snapshots))

    def plays(self, group: int) -> bool:
        """Whether this process plays the episodes of this group, and has their environments."""
        return True

    def _request(self, episode: Episode) -> Request:
        admissible = episode.info.admissible
        prompt = self.prompts.prompt(episode.task.goal, episode.past, episode.observation, admissible)
        kept = episode.kept.response_ids[: episode.branch.token] if episode.kept and episode.branch else ()
        counter = (episode.group, episode.rollout, len(episode.steps))
        return Request(prompt, kept, counter, episode.greedy)

    def _acted(self, episode: Episode, generation: Generation, answer: object, keep_snapshot: bool) -> Step:
        """Bring the environment's answer to an action into its episode; the step that it completes."""
        if isinstance(answer, Crash):
            episode.fail(answer.reason)
        acted = answer if isinstance(answer, Acted) else Acted(None, FAILED)
        admissible = episode.info.admissible
        action = self.prompts.action(generation.response_ids, admissible)
        step = recorded(episode, generation, action, acted.transition)
        if keep_snapshot:
            snapshot = Snapshot(acted.before, episode.observation, episode.info, tuple(episode.past))
            episode.snapshots.append(snapshot)
        episode.steps.append(step)
        episode.kept = None
        episode.past.append(Turn(episode.observation, action, generation.response_ids, admissible))
        episode.observation, _, terminated, episode.truncated, episode.info = acted.transition
        episode.success = episode.info.success
        episode.over = terminated or episode.truncated
        if episode.over and episode.environment:
            self.pool.give_back(episode.task, episode.environment)
            episode.environment = None
        return step


def begin(episode: Episode, pool: EnvironmentPool) -> Begun | Crash:
    """An environment at its start, or as it was restored, or the reason why there is none."""
    if episode.failure:
        return Crash(episode.failure)
    if episode.environment:
        return Begun(episode.environment, episode.observation, episode.info)
    environment = pool.take(episode.task)
    return Begun(environment, *environment.reset(episode.task, episode.seed))


def begun(episode: Episode, answer: object) -> None:
    """Bring what `begin` gave into the episode."""
    if isinstance(answer, Crash):
        episode.fail(answer.reason)
    elif isinstance(answer, Begun):
        episode.environment = answer.environment
        episode.observation, episode.info = answer.observation, answer.info


def act(episode: Episode, action: str, keep_snapshot: bool) -> Acted | Crash:
    """Take the action."""
    environment = episode.environment
    if environment is None:
        return Crash(episode.failure)
    before = environment.copy() if keep_snapshot else None
    return Acted(before, environment.step(action))


def recorded(episode: Episode, generation: Generation, action: str, transition: Transition) -> Step:
    """The record of a step."""
    given = len(generation.request.kept_ids)
    kept_logprobs = episode.kept.logprob_L[:given] if episode.kept else ()
    kept_entropies = episode.kept.entropy_L[:given] if episode.kept else ()
    return Step(
        prompt_ids=generation.request.prompt_ids,
        response_ids=generation.response_ids,
        logprob_L=np.array([*kept_logprobs, *generation.logprobs], dtype=np.float32),
        entropy_L=np.array([*kept_entropies, *generation.entropies], dtype=np.float32),
        observation=episode.observation,
        action=action,
        state_key=episode.info.state_key,
        reward=transition.reward,
        valid=transition.info.valid,
    )
