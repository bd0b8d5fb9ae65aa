"""`env=alfworld`: household errands in ALFWorld's text engine.

Games are ALFWorld's own where the user has them, and otherwise generated ones in its format, which are
another benchmark: `label` says so wherever a number is shown. What is said and possible is the engine's.
"""

import hashlib
import os
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import ClassVar

from envs.alfworld.games import Game, check_installed, engine_version, generated, official, read
from envs.alfworld.rooms import Recipe
from envs.base import ClosedVocabulary, Info, Task
from envs.engines import EngineSpec, Played, Scene
from harness.caches import cache_folder
from harness.errors import UserError

ATTEMPTS = 200
LONGEST = 6
"""Words of a command at most, as in `heat mug 1 with microwave 1`."""
UNLISTED = "help"
"""A command that is possible everywhere and tells the same everywhere."""


class Games(Enum):
    """Whose games are played."""

    generated = "generated"
    """Made on this machine from what alfworld's package ships."""
    official = "official"
    """ALFWorld's own, in the folder ALFWORLD_DATA."""


class HeldOut(Enum):
    """Which of ALFWorld's games `env.split=unseen` evaluates on; generated games have one kind."""

    seen = "seen"
    """New errands in rooms of the training games."""
    unseen = "unseen"
    """New errands in rooms that training never sees."""


class State(Enum):
    """What counts as one state."""

    observation = "observation"
    """Places with the same text, as in GiGPO."""
    observation_and_actions = "observation_and_actions"
    """Places with the same text and the same possible commands, as in G2PO."""


KINDS = {
    "pick_and_place_simple": 4,
    "look_at_obj_in_light": 3,
    "pick_clean_then_place_in_recep": 5,
    "pick_heat_then_place_in_recep": 6,
    "pick_cool_then_place_in_recep": 6,
    "pick_two_obj_and_place": 8,
}
"""ALFWorld's task types, and the fewest commands that one can take."""


@dataclass(frozen=True)
class AlfworldSpec(ClosedVocabulary, EngineSpec):
    """ALFWorld and its dials."""

    name: ClassVar[str] = "alfworld"
    version: ClassVar[str] = "1"
    engine: ClassVar[str] = "envs.alfworld.engine:AlfworldEngine"
    markov: ClassVar[bool] = True

    max_action_tokens: int = 8
    """Longest response in tokens, the end token included; commands have up to six words."""
    max_prompt_tokens: int = 192
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    games: Games = Games.generated
    """`generated`, or `official`: ALFWorld's own, which alfworld-download puts into ALFWORLD_DATA."""
    held_out: HeldOut = HeldOut.unseen
    """With official games, what `split: unseen` evaluates on: their split valid_seen or valid_unseen."""
    kinds: tuple[str, ...] = tuple(KINDS)
    """Task types; generated games have them in turn."""
    receptacles: int = 6
    """Of generated games, receptacles in a room; the largest rooms have 40."""
    objects: int = 4
    """Of generated games, objects that the task does not need."""
    state: State = State.observation
    """What counts as one state: the `observation`, or `observation_and_actions`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "kinds", tuple(self.kinds))  # a list in YAML
        if not self.kinds or not set(self.kinds) <= set(KINDS) or len(set(self.kinds)) < len(self.kinds):
            raise UserError(f"env.kinds={list(self.kinds)} must name some of {', '.join(KINDS)}, each once")
        slowest = max(self.kinds, key=lambda kind: KINDS[kind])
        if self.horizon < (least := KINDS[slowest]):
            raise UserError(
                f"env.horizon={self.horizon} is too short for {slowest}, which takes {least} commands: "
                "raise it or set env.kinds"
            )
        if self.max_action_tokens <= LONGEST:
            raise UserError(f"env.max_action_tokens={self.max_action_tokens} must be above {LONGEST}")
        for name, least in (("receptacles", 4), ("objects", 0)):
            if getattr(self, name) < least:
                raise UserError(f"env.{name}={getattr(self, name)} must be at least {least}")

    @property
    def label(self) -> str:
        if self.games is Games.generated:
            return "ALFWorld engine, generated games"
        return super().label

    def make(self) -> "Alfworld":
        return Alfworld(self)

    def check(self) -> None:
        check_installed()
        self.training_panel()
        self.evaluation_panel()

    def task(self, stream: str, index: int) -> Task:
        """A task is a game file, known by its content and by the versions of what plays it."""
        game = self._find(stream, index)
        where = game.path.relative_to(self.folder).as_posix()
        return Task(f"{engine_version()}:{game.digest}:{where}", int(game.digest, 16), game.goal)

    def game_name(self, task: Task) -> str:
        return str(self.folder / task.id.split(":", 2)[2])

    def files(self) -> list[Path]:
        tasks = [*self.training_panel(), *self.evaluation_panel()]
        return [Path(path) for path in sorted({self.game_name(task) for task in tasks})]

    def vocabulary(self) -> list[str]:
        games = [read(path) for path in self.files()]
        return sorted({word for game in games if game for word in game.words})

    def solution(self, task: Task) -> tuple[str, ...]:
        """The planner's commands for a task; empty if its file has none."""
        game = read(Path(self.game_name(task)))
        return game.solution if game else ()

    @property
    def folder(self) -> Path:
        """Where the games are."""
        return cache_folder("alfworld") if self.games is Games.generated else data_folder()

    def _find(self, stream: str, index: int) -> Game:
        check_installed()
        if self.games is Games.generated:
            return self._generate(stream, index)
        if not stream.startswith("tuning"):
            folder = "train" if stream == "train" else f"valid_{self.held_out.value}"
            return official_game(folder, self.kinds, index, f"env.{stream}_tasks={self.planned(stream)}")
        # Tuning plays training games from the other end.
        taken = self.train_tasks + 2 * index + (stream == "tuning-eval")
        asked = (
            f"env.tasks=tuning with env.train_tasks={self.train_tasks} and env.eval_tasks={self.eval_tasks}"
        )
        official_game("train", self.kinds, taken, asked)
        return official_game("train", self.kinds, self.train_tasks - taken - 1, asked)

    def _generate(self, stream: str, index: int) -> Game:
        """The first game of the task's seed stream that can be solved within the horizon."""
        kind = self.kinds[index % len(self.kinds)]
        for attempt in range(ATTEMPTS):
            digest = hashlib.sha256(f"alfworld/{stream}/{index}/{attempt}".encode()).digest()
            recipe = Recipe(kind, self.receptacles, self.objects, int.from_bytes(digest[:7], "big"))
            game = generated(recipe, self.folder)
            if game and len(game.solution) <= self.horizon:
                return game
        raise UserError(
            f"no generated game of {kind} is solved in env.horizon={self.horizon} steps: raise it"
        )


def data_folder() -> Path:
    """The folder of ALFWorld's games, where alfworld itself looks for them."""
    return Path(os.environ.get("ALFWORLD_DATA") or "~/.cache/alfworld").expanduser() / "json_2.1.1"


def official_game(split: str, kinds: tuple[str, ...], index: int, asked: str) -> Game:
    """The game number `index` of a split, from the end if negative; `asked` is what needs it."""
    root, folder = data_folder(), data_folder() / split
    mend = (
        "run alfworld-download, set ALFWORLD_DATA to the folder above json_2.1.1, or set env.games=generated"
    )
    if not root.is_dir():
        raise UserError(f"env.games=official: there is no folder {root}: {mend}")
    if not folder.is_dir():
        there = ", ".join(sorted(each.name for each in root.iterdir() if each.is_dir())) or "nothing"
        raise UserError(f"env.games=official: {root} has no split {split}, but {there}: {mend}")
    games = official(folder, kinds)
    if not games:
        raise UserError(f"env.games=official: no game in {folder} is known to be solvable: {mend}")
    if not -len(games) <= index < len(games):
        raise UserError(f"{asked} needs more than the {len(games)} games in {folder}: lower it")
    return games[index]


class Alfworld(Played):
    """One episode of an ALFWorld game."""

    spec: AlfworldSpec
    invalid = "Nothing happens."

    @property
    def state_key(self) -> str:
        scene = self._place.scene
        listed = self.listed(scene) if self.spec.state is State.observation_and_actions else ()
        return hashlib.sha256("\n".join([scene.text, *listed]).encode()).hexdigest()[:16]

    def listed(self, scene: Scene) -> tuple[str, ...]:
        """The possible actions, `help` aside."""
        return tuple(action for action in self.actions(scene) if action != UNLISTED)

    def info(self, scene: Scene, valid: bool) -> Info:
        return Info(self.state_key, self.listed(scene), valid, scene.won)
