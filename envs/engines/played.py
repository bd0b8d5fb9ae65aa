"""Episodes of remembered games."""

from copy import copy
from typing import Self

from envs.base import Environment, Info, Task, Transition, normalise
from envs.engines.engine import Scene
from envs.engines.game import Game
from envs.engines.spec import EngineSpec


class Played(Environment):
    """An episode of a game that lists its commands and pays at the end, as most do; others override.

    The game hears listed commands alone: what is answered to others, and whether it costs the game a turn,
    differs between packages. A success is latched: it ends the episode.
    """

    invalid = "nothing happens ."
    """The answer to an action that is not possible."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self._game: Game | None = None

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        self._game = self.spec.game(self.spec.game_name(task))
        self._place = self._game.start()
        self._steps = 0
        return self.observation(self._place.scene), self.info(self._place.scene, valid=True)

    def step(self, action: str) -> Transition:
        assert self._game, "reset comes before the first step"
        self._steps += 1
        before = self._place.scene
        command = self.command(action)
        if command is not None:
            self._place = self._game.follow(self._place, command)
        scene, valid = self._place.scene, command is not None
        terminated = scene.won or scene.over
        truncated = self._steps >= self.spec.horizon and not terminated
        observation = self.observation(scene) if valid else self.invalid
        return Transition(
            observation, self.reward(before, scene), terminated, truncated, self.info(scene, valid)
        )

    @property
    def state_key(self) -> str:
        return self._place.scene.key

    def copy(self) -> Self:
        # A place is never changed, and the game is common to all.
        return copy(self)

    def close(self) -> None:
        self._game = None

    def command(self, action: str) -> str | None:
        """The game's command for an action, or None if it is not possible here."""
        return self.actions(self._place.scene).get(action if self.spec.verbatim else normalise(action))

    def actions(self, scene: Scene) -> dict[str, str]:
        """The possible actions as policies write them, and the commands they stand for."""
        return {each if self.spec.verbatim else normalise(each): each for each in scene.commands}

    def observation(self, scene: Scene) -> str:
        """What the policy reads."""
        return scene.text

    def reward(self, before: Scene, after: Scene) -> float:
        """What a step pays."""
        return float(after.won)

    def info(self, scene: Scene, valid: bool) -> Info:
        """What is said beside the observation."""
        return Info(self.state_key, tuple(self.actions(scene)), valid, scene.won)
