"""`env=textworld`: quests that TextWorld generates and plays on the user's machine.

The policy is told the last command of the quest and the room it belongs to; it reads the game's reply, what
it carries and the room's description. The game's first screen is never shown.
"""

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from envs.base import ClosedVocabulary, Environment, EnvironmentSpec, Info, Task, Transition, normalise
from envs.textworld.games import Game, Recipe, library, load
from envs.textworld.story import Story
from harness.caches import cache_folder
from harness.errors import UserError

INVALID = "you can ' t do that ."
ATTEMPTS = 20
MOST = 10
"""Rooms or objects; TextWorld takes a minute over a game of 20."""


@dataclass(frozen=True)
class TextWorldSpec(ClosedVocabulary, EnvironmentSpec):
    """TextWorld and its dials."""

    name: ClassVar[str] = "textworld"
    version: ClassVar[str] = "2"

    horizon: int = 15
    """Steps after which an episode is cut off as a failure."""
    max_action_tokens: int = 12
    """Longest response in tokens, the end token included; games that need longer commands are left out."""
    max_prompt_tokens: int = 192
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    rooms: int = 3
    """Rooms of a game, 2 to 10."""
    objects: int = 4
    """Things and furniture of a game at least, 1 to 10; a quest may need more."""
    quest_length: int = 5
    """Commands of the quest's solution at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("rooms", 2), ("objects", 1)):
            if not least <= getattr(self, name) <= MOST:
                raise UserError(f"env.{name}={getattr(self, name)} must be {least} to {MOST}")
        if not 1 <= self.quest_length <= self.horizon:
            raise UserError(
                f"env.quest_length={self.quest_length} must be 1 to env.horizon={self.horizon}: "
                "lower it or raise the horizon"
            )

    def make(self) -> "TextWorld":
        return TextWorld(self)

    def check(self) -> None:
        library()

    def task(self, stream: str, index: int) -> Task:
        """The first game of the task's seed stream that TextWorld can make and whose commands fit."""
        version = library().__version__
        for attempt in range(ATTEMPTS):
            digest = hashlib.sha256(f"textworld/{stream}/{index}/{attempt}".encode()).digest()
            seed = int.from_bytes(digest[:4], "big")
            game = self._load(seed)
            if game:
                return Task(id=f"textworld-{version}-{stream}-{index}", seed=seed, goal=game.goal)
        raise UserError(
            f"no TextWorld game fits env.rooms={self.rooms}, env.quest_length={self.quest_length} and "
            f"env.max_action_tokens={self.max_action_tokens}: lower the quest's length or raise the others"
        )

    def game(self, task: Task) -> Game:
        """The game of a task."""
        game = self._load(task.seed)
        assert game, "task() hands out only games that can be made"
        return game

    def files(self) -> list[Path]:
        stories = {game.story for game in self._games()}
        return [path for story in sorted(stories) for path in (story, story.with_suffix(".json"))]

    def vocabulary(self) -> list[str]:
        words = {word for game in self._games() for word in game.words}
        return sorted(words | set(INVALID.split()))

    def _games(self) -> list[Game]:
        return [self.game(task) for task in [*self.training_panel(), *self.evaluation_panel()]]

    def _load(self, seed: int) -> Game | None:
        recipe = Recipe(self.rooms, self.objects, self.quest_length, seed)
        return load(recipe, self.max_action_tokens - 1, cache_folder("textworld"))


class TextWorld(Environment):
    """One episode of a TextWorld game. It can't be copied: only replay restores a state."""

    def __init__(self, spec: TextWorldSpec) -> None:
        self.spec = spec

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        self._story = shared_story(self.spec.game(task).story)
        self._state = self._story.start
        self._steps = 0
        return self._state.view, self._info()

    def step(self, action: str) -> Transition:
        self._steps += 1
        command = self._state.actions.get(normalise(action))
        if command is None:
            # The game never hears an invalid action: its parser knows more verbs (undo, quit, wait, …).
            reply = INVALID
        else:
            frame = self._story.follow(self._state, command)
            reply, self._state = frame.reply, frame.state
        won = self._state.won
        truncated = self._steps >= self.spec.horizon and not won
        observation = f"{reply} {self._state.view}".strip()
        return Transition(observation, float(won), won, truncated, self._info(valid=command is not None))

    @property
    def state_key(self) -> str:
        return self._state.key

    def _info(self, valid: bool = True) -> Info:
        return Info(self.state_key, tuple(self._state.actions), valid, self._state.won)


@functools.cache
def shared_story(path: Path) -> Story:
    """This process's running game; sharing it changes the speed of episodes and nothing else."""
    return Story(path)
