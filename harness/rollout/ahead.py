"""Overlap: the next iteration's rollout, played on a thread of its own while the weights are updated.

It is sampled with the weights from before the update, so that from the second iteration on a policy trains on
data of the one before it. What is played depends on nothing that the other thread does: the policy that plays
is a copy, everything is booked in a ledger of the rollout's own, and it is waited for before anything but the
update happens.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

from harness.config import RunConfig
from harness.ledger import Ledger, Phase
from harness.policy.model import load_weights, weights
from harness.policy.prompting import Prompting
from harness.policy.scoring import Scorer
from harness.records import Trajectory
from harness.rollout.engine import Engine
from harness.rollout.environments import EnvironmentPool
from harness.rollout.episodes import Player
from harness.rollout.sampler import Sampler


@dataclass(frozen=True)
class Rollout:
    """What one iteration trains on, and what playing it took."""

    trajectories: list[Trajectory]
    version: int
    """Iterations that had trained the policy which played."""
    ledger: Ledger
    seconds: float
    diagnostics: dict[str, float]
    """What prompts and engine noticed, by name."""


class Ahead:
    """Plays rollouts one iteration ahead."""

    def __init__(
        self,
        config: RunConfig,
        engine: Engine,
        prompts: Prompting,
        pool: EnvironmentPool,
        scorer: Scorer,
    ) -> None:
        """`engine`: the run's, which generates nothing while a rollout is played."""
        self.scorer = scorer
        self.policy = deepcopy(scorer.policy)
        """The behaviour policy: plays the rollout in hand, and is not trained."""
        self.version = 0
        """Iterations that have trained it."""
        self.hidden = 0.0
        """Seconds of the last rollout that passed while an update went on."""
        player = Player(engine.twin(self.policy), prompts, pool, config.seed, config.rollout)
        self.sampler = Sampler(config, player, prompts, scorer, Ledger())
        self._rollout: Rollout | None = None

    @property
    def in_hand(self) -> bool:
        """Whether a rollout has been played and not been taken."""
        return self._rollout is not None

    def take(self, draws: range) -> Rollout:
        """The rollout of the tasks number `draws`: the one in hand, else played now by the same policy.

        None is in hand at the start of a run, or when it goes on from a checkpoint.
        """
        rollout, self._rollout = self._rollout or self._play(draws), None
        return rollout

    @contextmanager
    def playing(self, draws: range, version: int) -> Iterator[None]:
        """Meanwhile, play the tasks number `draws` with the scorer's policy as it is now; wait for them.

        `version`: iterations that have trained it. What fails in the other thread is raised in this one.
        """
        load_weights(self.policy, weights(self.scorer.policy))
        self.version = version
        played, updated = Future[Rollout](), threading.Event()

        def play() -> None:
            # Leaving an autocast block clears a cache that all threads share, including the update's.
            with self.scorer.placement.autocast():
                try:
                    played.set_result(self._play(draws))
                except BaseException as error:
                    played.set_exception(error)
                updated.wait()

        thread = threading.Thread(target=play, name="rollout", daemon=True)
        start = time.monotonic()
        thread.start()
        try:
            yield
        finally:
            seconds = time.monotonic() - start
            updated.set()
            thread.join()
            self._rollout = played.result()
        self.hidden = min(seconds, self._rollout.seconds)

    def drop(self, ledger: Ledger) -> None:
        """Book the rollout in hand as unused: nobody is going to train on it."""
        if self._rollout:
            for entry in self._rollout.ledger.entries.values():
                ledger.add(Phase.unused, entry.tokens, entry.flops, entry.computed)
        self._rollout = None

    def _play(self, draws: range) -> Rollout:
        sampler, engine = self.sampler, self.sampler.player.engine
        sampler.ledger, start = Ledger(), time.monotonic()
        roots = sampler.play_roots(draws)
        trajectories, _ = sampler.play_branches(roots, sampler_is_current=True)
        engine.release()
        noticed = (sampler.prompts.take_dropped() or {}) | engine.take_diagnostics()
        return Rollout(trajectories, self.version, sampler.ledger, time.monotonic() - start, noticed)
