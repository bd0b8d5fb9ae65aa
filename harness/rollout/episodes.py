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
from harness.config.schema import Reward
from harness.policy.prompting import Prompting, PromptTooLong, Reading, Turn
from harness.records import Branch, Step, StopReason, Trajectory
from harness.rollout.account import Account
from harness.rollout.engine import Engine, Generation, Request
from harness.rollout.environments import AtOnce, Crash, EnvironmentPool, InTurn

NOWHERE = Info(state_key="", valid=False)
"""Info of an episode whose environment failed to start. The policy still acts once, on an empty observation,
so that the episode has a step."""
NOTHING = Transition(observation="", reward=0.0, terminated=True, truncated=False, info=NOWHERE)
"""What an action leads to that no environment took: it failed, or the episode ends before."""


@dataclass(frozen=True)
class Snapshot:
    """Where an episode stood before a step."""

    environment: Environment | None
    """A copy of the environment, or None if only replay can restore it."""
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
    stop: StopReason | None = None
    """Why it ended; None while it goes on."""
    success: bool = False
    score: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    """The environment's own numbers so far."""
    failure: str = ""
    """The reason of its environment's error or time-out, if there was one."""
    crash: Crash | None = None
    """What became of its environment, if it failed."""
    snapshots: list[Snapshot] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.stop is not None

    def trajectory(self) -> Trajectory:
        """The record of the finished episode."""
        assert self.stop is not None
        return Trajectory(
            task_id=self.task.id,
            group=self.group,
            rollout=self.rollout,
            steps=tuple(self.steps),
            success=self.success,
            stop=self.stop,
            score=self.score,
            branch=self.branch,
            metrics=self.metrics,
            failure=self.failure,
        )

    def take_over(self, record: Trajectory) -> None:
        """Be the finished episode that another process played."""
        self.steps, self.branch, self.stop = list(record.steps), record.branch, record.stop
        self.success, self.score, self.failure = record.success, record.score, record.failure
        self.metrics = dict(record.metrics)

    def fail(self, crash: Crash) -> None:
        """Its environment failed and is used no more; said in the run's log. It ends with its next action."""
        if not self.failure:
            name = f"{self.task.id}, draw {self.group}, rollout {self.rollout}"
            print(f"{name}: {crash.reason}", file=sys.stderr)
            self.failure, self.environment, self.crash = crash.reason, None, crash

    def take(self, transition: Transition, ends: StopReason | None) -> None:
        """Go on to where an action led. `ends`: why the episode ends here, if the action was not taken."""
        self.observation, _, terminated, truncated, self.info = transition
        if self.crash:
            self.stop = StopReason.timeout if self.crash.late else StopReason.crash
        elif ends is not None:
            self.stop = ends
        else:
            self.success, self.score = self.info.success, self.info.score_or_success
            self.metrics = {**self.metrics, **self.info.metrics}
            if terminated:
                self.stop = StopReason.solved if self.success else StopReason.failed
            elif truncated:
                self.stop = StopReason.horizon


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
        whose environment crashes, or runs out of time, is lost: its stop reason says so.
        """
        timeout, barrier = self.rollout.timeout, self.rollout.barrier
        calls = AtOnce(timeout) if timeout else InTurn()
        waiting, playing = deque(range(len(episodes))), 0
        asked: dict[Request, int] = {}
        acting: dict[int, tuple[Generation, Reading]] = {}
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
                    if acted := acting.pop(number, None):
                        steps.append(self._acted(episodes[number], *acted, answer, keep_snapshots))
                    else:
                        begun(episodes[number], answer)
                account.stepped(steps)
                requests = self._requests(episodes, [number for number, _ in answers])
                playing -= len(answers) - len(requests)
                asked |= requests
                self.engine.add(list(requests), self.seed, purpose)
            for generation in self.engine.step() if self.engine.busy else ():
                number = asked.pop(generation.request)
                reading = self.prompts.read(generation.response_ids, episodes[number].info.admissible)
                acting[number] = generation, reading
                calls.start(number, partial(act, episodes[number], reading, keep_snapshots))

    def plays(self, group: int) -> bool:
        """Whether this process plays the episodes of this group, and has their environments."""
        return True

    def _requests(self, episodes: Sequence[Episode], numbers: Sequence[int]) -> dict[Request, int]:
        """What the engine is asked for the episodes `numbers` that go on, each with its number."""
        requests = {}
        for number in numbers:
            episode = episodes[number]
            try:
                if not episode.over:
                    requests[self._request(episode)] = number
            except PromptTooLong:
                episode.stop = StopReason.prompt_too_long
                self._give_back(episode)
        return requests

    def _request(self, episode: Episode) -> Request:
        admissible = episode.info.admissible
        prompt = self.prompts.prompt(episode.task.goal, episode.past, episode.observation, admissible)
        kept = episode.kept.response_ids[: episode.branch.token] if episode.kept and episode.branch else ()
        counter = (episode.group, episode.rollout, len(episode.steps))
        return Request(prompt, kept, counter, episode.greedy)

    def _acted(
        self,
        episode: Episode,
        generation: Generation,
        reading: Reading,
        answer: object,
        keep_snapshot: bool,
    ) -> Step:
        """Bring the environment's answer to an action into its episode; the step that it completes."""
        if isinstance(answer, Crash):
            episode.fail(answer)
        acted = answer if isinstance(answer, Acted) else Acted(None, NOTHING)
        step = recorded(episode, generation, reading, acted.transition, self.rollout)
        if keep_snapshot:
            snapshot = Snapshot(acted.before, episode.observation, episode.info, tuple(episode.past))
            episode.snapshots.append(snapshot)
        episode.steps.append(step)
        episode.kept = None
        turn = Turn(episode.observation, reading.action, generation.response_ids, episode.info.admissible)
        episode.past.append(turn)
        episode.take(acted.transition, reading.stop)
        if episode.over:
            self._give_back(episode)
        return step

    def _give_back(self, episode: Episode) -> None:
        if episode.environment:
            self.pool.give_back(episode.task, episode.environment)
            episode.environment = None


def begin(episode: Episode, pool: EnvironmentPool) -> Begun | Crash:
    """An environment at its start, or as it was restored, or the reason why there is none."""
    if episode.crash:
        return episode.crash
    if episode.environment:
        return Begun(episode.environment, episode.observation, episode.info)
    environment = pool.take(episode.task)
    return Begun(environment, *environment.reset(episode.task, episode.seed))


def begun(episode: Episode, answer: object) -> None:
    """Bring what `begin` gave into the episode."""
    if isinstance(answer, Crash):
        episode.fail(answer)
    elif isinstance(answer, Begun):
        episode.environment = answer.environment
        episode.observation, episode.info = answer.observation, answer.info


def act(episode: Episode, reading: Reading, keep_snapshot: bool) -> Acted | Crash:
    """Take the action, unless the response ends the episode."""
    environment = episode.environment
    if environment is None:
        assert episode.crash is not None
        return episode.crash
    before = environment.copy() if keep_snapshot else None
    if reading.stop is not None:
        return Acted(before, NOTHING)
    return Acted(before, environment.step(reading.action))


def recorded(
    episode: Episode, generation: Generation, reading: Reading, transition: Transition, rollout: RolloutConfig
) -> Step:
    """The record of a step."""
    solved = transition.terminated and transition.info.success
    reward = transition.reward if rollout.reward is Reward.paid else float(solved)
    given = len(generation.request.kept_ids)
    kept_logprobs = episode.kept.logprob_L[:given] if episode.kept else ()
    kept_entropies = episode.kept.entropy_L[:given] if episode.kept else ()
    return Step(
        prompt_ids=generation.request.prompt_ids,
        response_ids=generation.response_ids,
        logprob_L=np.array([*kept_logprobs, *generation.logprobs], dtype=np.float32),
        entropy_L=np.array([*kept_entropies, *generation.entropies], dtype=np.float32),
        observation=episode.observation,
        action=reading.action,
        state_key=episode.info.state_key,
        reward=rollout.reward_scale * reward - reading.penalty,
        valid=transition.info.valid,
        well_formed=reading.well_formed,
    )
