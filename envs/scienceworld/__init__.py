"""`env=scienceworld`: the 30 science tasks of ScienceWorld, played by the Java program in its package."""

import json
from dataclasses import dataclass
from typing import ClassVar

from envs.base import Info, Rewards, Task
from envs.engines import Played, Scene
from envs.engines.java import JavaPackage
from envs.engines.java_spec import JavaSpec
from envs.frame import Frame
from envs.scienceworld.package import PACKAGE
from envs.scienceworld.tasks import VARIATIONS, check_simplifications, named, split
from harness.errors import UserError

FRAME = Frame(
    system="You do science experiments in a text world.{task} Each turn, {how}. The commands, with OBJ for a "
    "thing or a place that you see: look around, look at OBJ, look in OBJ, inventory, open OBJ, close OBJ, "
    "go to OBJ, teleport to OBJ, pick up OBJ, put down OBJ, move OBJ to OBJ, focus on OBJ, activate OBJ, "
    "deactivate OBJ, use OBJ on OBJ, connect OBJ to OBJ, disconnect OBJ, pour OBJ into OBJ, dunk OBJ into "
    "OBJ, mix OBJ, read OBJ, eat OBJ, flush OBJ, wait, wait1. If you are asked which one you mean, answer "
    "with its number.",
    task=" {goal}",
)
REFUSALS = ("No known action matches that input", "Unknown action")
"""How the program begins when it understands nothing."""
TASK_SEEDS = 10_000
"""A task's seed is this number times the place of its name, plus the variation."""


@dataclass(frozen=True)
class ScienceWorldSpec(JavaSpec):
    """ScienceWorld and its dials."""

    name: ClassVar[str] = "scienceworld"
    version: ClassVar[str] = "1"
    graded: ClassVar[bool] = True
    rewards: ClassVar[Rewards] = Rewards.dense
    reward_range: ClassVar[tuple[float, float]] = (-1.0, 1.0)
    lists_actions: ClassVar[bool] = False
    verbatim: ClassVar[bool] = True
    frame: ClassVar[Frame] = FRAME
    engine: ClassVar[str] = "envs.scienceworld.engine:ScienceWorld"
    package: ClassVar[JavaPackage] = PACKAGE
    room: ClassVar[int] = 16

    horizon: int = 30
    """Steps after which an episode is cut off."""
    train_tasks: int = 4
    """Number of distinct training tasks; a game takes about a second to load."""
    eval_tasks: int = 4
    """Number of tasks on the evaluation panel; with `split: fixed` they are the first training tasks."""
    history: int = 2
    """Past (observation, action) pairs that the prompt shows before the current observation."""
    max_action_tokens: int = 24
    """Longest response in tokens, the end token included."""
    max_prompt_tokens: int = 1024
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    task_names: tuple[str, ...] = ("find-non-living-thing",)
    """ScienceWorld's tasks by name or by the paper's number, as 4-2; a panel takes them in turns."""
    simplifications: str = "easy"
    """The package's simplifications, joined by commas; empty: none. `easy` is teleporting, open doors, flower
    pots that water themselves, and no electrical actions where a task needs none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.task_names:
            raise UserError("env.task_names is empty: name at least one task, as env.task_names=[4-2]")
        names = self.names
        if len(set(names)) < len(names):
            raise UserError(f"env.task_names names a task twice: {', '.join(names)}")
        check_simplifications(self.simplifications, names)

    @property
    def names(self) -> list[str]:
        """The tasks by name."""
        return [named(task) for task in self.task_names]

    def make(self) -> "ScienceWorld":
        return ScienceWorld(self)

    def stream(self, stream: str) -> list[Task]:
        """The package's training variations, its test variations to evaluate on, and of its development
        variations every other one to tune with. Tasks take turns as long as they have variations."""
        part = {"train": "train", "eval": "test"}.get(stream, "dev")
        first = int(stream == "tuning-eval")
        parts = {
            name: split(name)[part][first::2] if part == "dev" else split(name)[part] for name in self.names
        }
        places = {name: place for place, name in enumerate(VARIATIONS)}
        return [
            Task(f"{name}-{variations[turn]}", TASK_SEEDS * places[name] + variations[turn])
            for turn in range(max(map(len, parts.values())))
            for name, variations in parts.items()
            if turn < len(variations)
        ]

    def game_name(self, task: Task) -> str:
        place, variation = divmod(task.seed, TASK_SEEDS)
        return json.dumps([list(VARIATIONS)[place], variation, self.simplifications])


class ScienceWorld(Played):
    """One episode. What is seen and carried is shown at every step, after the program's answer."""

    invalid = "That command is not part of this game."

    def command(self, action: str) -> str | None:
        """What was written, on one line. A reset would take back a failure, and is never passed on."""
        words = action.split()
        return None if words and words[0].lower() == "reset" else " ".join(words)

    def observation(self, scene: Scene) -> str:
        told = "" if scene.text in scene.view else f"{scene.text}\n"
        return f"{told}{scene.view}"

    def reward(self, before: Scene, after: Scene) -> float:
        return after.score - before.score

    def info(self, scene: Scene, valid: bool) -> Info:
        understood = valid and not scene.text.startswith(REFUSALS)
        return Info(self.state_key, (), understood, scene.won, scene.score)
