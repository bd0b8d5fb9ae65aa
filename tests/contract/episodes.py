"""Random play of any environment as plain data.

`python -m tests.contract.episodes` prints, for the environment that it reads as a pickle, its panel's hash
and a digest of an episode. It imports no more than an environment does, so that it starts fast.
"""

import hashlib
import pickle
import random
import sys
from collections.abc import Sequence

from envs.base import ClosedVocabulary, Environment, EnvironmentSpec, Info, Transition

NONSENSE = "open the pod bay doors"


def said(spec: EnvironmentSpec, info: Info, draw: random.Random) -> str:
    """A random valid action, or random words where actions are free text."""
    if spec.lists_actions:
        return draw.choice(info.admissible)
    words = spec.vocabulary() if isinstance(spec, ClosedVocabulary) else NONSENSE.split()
    return " ".join(draw.choices(words, k=min(3, spec.max_action_tokens - 1)))


class Episode:
    """An episode of random play, a step at a time, so that others can be played in between."""

    def __init__(self, spec: EnvironmentSpec, index: int, seed: int) -> None:
        self.environment, self._spec, self._draw = spec.make(), spec, random.Random(seed)
        observation, self._info = self.environment.reset(spec.training_panel()[index], seed)
        self.trace: list[tuple] = [(observation, self._info)]
        self.over = False

    def step(self) -> None:
        """Take one action."""
        action = said(self._spec, self._info, self._draw)
        seen = self.environment.step(action)
        self.trace.append((action, *seen))
        self._info, self.over = seen.info, seen.terminated or seen.truncated
        if self.over:
            self.environment.close()


def play(spec: EnvironmentSpec, index: int, seed: int) -> list[tuple]:
    """A whole one: the first observation and info, then actions and what they led to."""
    episode = Episode(spec, index, seed)
    while not episode.over:
        episode.step()
    return episode.trace


def after(environment: Environment, actions: Sequence[str]) -> list[tuple[Transition, str]]:
    """What actions lead to, and the state's key after each."""
    return [(environment.step(action), environment.state_key) for action in actions]


def digest(trace: Sequence[tuple]) -> str:
    """SHA-256 of an episode, keys, listed actions and numbers included."""
    return hashlib.sha256(repr(trace).encode()).hexdigest()


def fingerprints(spec: EnvironmentSpec) -> str:
    """What must be the same in every process."""
    return f"{spec.panel_hash()} {digest(play(spec, 0, 3)) if spec.repeatable else '-'}"


if __name__ == "__main__":
    sys.stdout.write(fingerprints(pickle.load(sys.stdin.buffer)))
