"""`env=textworld_express`: the eight games of TextWorldExpress, played by the Java program in its package."""

import functools
import json
import re
from dataclasses import dataclass
from typing import ClassVar

from envs.base import ClosedVocabulary, Info, Rewards, Task, normalise
from envs.engines import Played, Scene
from envs.engines.java import JavaPackage
from envs.engines.java_spec import JavaSpec
from envs.textworld_express.package import PACKAGE
from envs.textworld_express.words import words_of
from harness.errors import UserError

WORLDS = (
    "coin",
    "cookingworld",
    "twc",
    "mapreader",
    "arithmetic",
    "sorting",
    "simonsays",
    "peckingorder",
)
FOLDS = ("train", "dev", "test")
FOLD_SEEDS = 10_000
"""Seeds of a fold begin at this number times its place in `FOLDS`."""
SEEDS_PER_FOLD = 1000
RETOLD = ("look around", "inventory")
"""Commands that tell what every observation holds; they are not offered."""
PARAMETERS = re.compile(r"(\w+=\d+(,\w+=\d+)*)?")


@dataclass(frozen=True)
class TextWorldExpressSpec(ClosedVocabulary, JavaSpec):
    """TextWorldExpress and its dials."""

    name: ClassVar[str] = "textworld_express"
    version: ClassVar[str] = "1"
    graded: ClassVar[bool] = True
    rewards: ClassVar[Rewards] = Rewards.dense
    reward_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    engine: ClassVar[str] = "envs.textworld_express.engine:TextWorldExpress"
    package: ClassVar[JavaPackage] = PACKAGE
    room: ClassVar[int] = 256

    horizon: int = 12
    """Steps after which an episode is cut off."""
    max_action_tokens: int = 8
    """Longest response in tokens, the end token included."""
    world: str = "coin"
    """The game: coin, cookingworld, twc, mapreader, arithmetic, sorting, simonsays or peckingorder."""
    parameters: str = "numLocations=11,numDistractorItems=0,includeDoors=0,limitInventorySize=0"
    """The game's parameters in the package's own form; empty: the package's defaults."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.world not in WORLDS:
            raise UserError(f"env.world={self.world} is no game of this package: one of {', '.join(WORLDS)}")
        if not PARAMETERS.fullmatch(self.parameters):
            raise UserError(
                f"env.parameters={self.parameters!r} must be NAME=NUMBER,NAME=NUMBER,… without blanks"
            )

    def make(self) -> "TextWorldExpress":
        return TextWorldExpress(self)

    def stream(self, stream: str) -> list[Task]:
        """Seeds of the fold `train`, of `test` to evaluate on, and halves of `dev` to tune with."""
        half = SEEDS_PER_FOLD // 2
        fold, seeds = {
            "train": ("train", range(SEEDS_PER_FOLD)),
            "eval": ("test", range(SEEDS_PER_FOLD)),
            "tuning-train": ("dev", range(half)),
            "tuning-eval": ("dev", range(half, SEEDS_PER_FOLD)),
        }[stream]
        first = FOLDS.index(fold) * FOLD_SEEDS
        return [Task(f"{self.world}-{fold}-{first + seed}", first + seed) for seed in seeds]

    def game_name(self, task: Task) -> str:
        fold = FOLDS[task.seed // FOLD_SEEDS]
        return json.dumps([self.world, self.parameters, fold, task.seed])

    def vocabulary(self) -> list[str]:
        return list(vocabulary(self))


@functools.cache
def vocabulary(spec: TextWorldExpressSpec) -> tuple[str, ...]:
    """The words of all games on the panels of a configuration."""
    tasks = dict.fromkeys([*spec.training_panel(), *spec.evaluation_panel()])
    games = [spec.game(spec.game_name(task)) for task in tasks]  # held, so that they share processes
    words = {word for game in games for word in words_of(game, RETOLD)}
    return tuple(sorted(words | set(TextWorldExpress.invalid.split())))


class TextWorldExpress(Played):
    """One episode. What is seen and carried is shown at every step, after the game's answer."""

    def actions(self, scene: Scene) -> dict[str, str]:
        return {normalise(command): command for command in scene.commands if command not in RETOLD}

    def observation(self, scene: Scene) -> str:
        told = "" if scene.text in scene.view else scene.text
        return normalise(f"{told} {scene.view}")

    def reward(self, before: Scene, after: Scene) -> float:
        return after.score - before.score

    def info(self, scene: Scene, valid: bool) -> Info:
        return Info(self.state_key, tuple(self.actions(scene)), valid, scene.won, scene.score)
