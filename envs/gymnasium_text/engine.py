"""Text environments with Gymnasium's interface as engines: made by a dotted path, stepped with strings."""

import hashlib
import importlib
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envs.engines import Engine, Scene


@dataclass(frozen=True)
class Seen:
    """What `reset` or `step` returned."""

    observation: str
    info: Mapping[str, Any] = field(default_factory=dict)
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


class TextEngine(Engine):
    """A game of any class with `reset(seed=…) -> (observation, info)` and
    `step(action) -> (observation, reward, terminated, truncated, info)`.

    Subclasses say what such environments don't: what a success is. They may say as well which actions there
    are, how an action is written, what the policy reads, and what names a state. `self.env` is the
    environment.
    """

    def __init__(self, game: str) -> None:
        super().__init__(game)
        self.env: Any = None

    @abstractmethod
    def won(self, seen: Seen) -> bool:
        """Whether the task is solved. Rewards don't tell: some games pay for a near miss."""

    def score(self, seen: Seen) -> float:
        """How well the task is done so far, 0 to 1, where the environment is graded."""
        return float(self.won(seen))

    def actions(self, seen: Seen) -> Sequence[str]:
        """The actions that are possible here, as policies write them, where they are listed."""
        return ()

    def written(self, action: str) -> str:
        """An action as the environment reads it."""
        return action

    def text(self, seen: Seen) -> str:
        """What the policy reads."""
        return seen.observation

    def key(self, seen: Seen) -> str:
        """Names the state. All actions so far always do; another key must hold all that moves the game, what
        the observation doesn't show included."""
        return hashlib.sha256(json.dumps(self._played).encode()).hexdigest()[:16]

    def start(self) -> Scene:
        self.close()
        recipe = json.loads(self.game)
        module, name = recipe["makes"].split(":")
        self.env = getattr(importlib.import_module(module), name)(**recipe["arguments"])
        self._played: list[str] = []
        observation, info = self.env.reset(seed=recipe["seed"])
        return self._scene(Seen(observation, info))

    def play(self, command: str) -> Scene:
        if self._shown.over or self._shown.won:
            return self._shown  # environments go on after the end, some pay again
        self._played.append(command)
        observation, reward, terminated, truncated, info = self.env.step(self.written(command))
        return self._scene(Seen(observation, info, float(reward), bool(terminated), bool(truncated)))

    def close(self) -> None:
        if hasattr(self.env, "close"):
            self.env.close()
        self.env = None

    def _scene(self, seen: Seen) -> Scene:
        self._shown = Scene(
            text=self.text(seen),
            key=self.key(seen),
            commands=tuple(self.actions(seen)),
            score=float(self.score(seen)),
            reward=seen.reward,
            won=self.won(seen),
            over=seen.terminated or seen.truncated,
        )
        return self._shown
