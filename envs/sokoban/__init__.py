"""`env=sokoban`: push all boxes onto targets. Text and rewards are those of the field's tables.

The board is all there is to know, it is all that the policy reads, and nothing is random, so that exact
values can be computed.
"""

from collections.abc import Hashable
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Self

from envs.base import ClosedVocabulary, Environment, Info, Rewards, Task, Transition
from envs.drawn import DrawnSpec
from envs.frame import Example, Frame
from envs.sokoban.level import MOVES, Cell, Level, Position, Room, make_level
from harness.errors import UserError

WALL, FLOOR, TARGET, BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET = "#", "_", "O", "X", "√", "P", "S"
STEP, ON_TARGET, FINISHED = -0.1, 1.0, 10.0
"""What gym-sokoban pays: for every step, for a box that comes onto a target (leaves one: the negative), and
for the end."""
ACTIONS = tuple(MOVES)

FRAME = Frame(
    system=(
        "You play Sokoban on a grid, one letter per cell: # is a wall, _ floor, O a target, X a box, √ a box "
        "on a target, P you, S you on a target. You move up, down, left or right. Moving against a box "
        "pushes it, if the cell behind it is free; boxes can't be pulled. Bring every box onto a target. "
        "Each turn, {how}."
    ),
    examples=(
        Example("# # # # #\n# P X O #\n# # # # #", ACTIONS, "right"),
        Example("# # # #\n# O _ #\n# X _ #\n# P _ #\n# # # #", ACTIONS, "up"),
    ),
)


@dataclass(frozen=True)
class SokobanSpec(ClosedVocabulary, DrawnSpec):
    """Sokoban and its dials."""

    name: ClassVar[str] = "sokoban"
    version: ClassVar[str] = "1"
    frame: ClassVar[Frame] = FRAME
    more_tasks: ClassVar[str] = "lower env.least, or raise env.size or env.horizon"

    max_prompt_tokens: int = 64
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    horizon: int = 16
    """Steps after which an episode is cut off as a failure."""
    size: int = 5
    """Rows and columns of the grid, the outer wall included, 4 to 10."""
    boxes: int = 1
    """Boxes, and as many targets, 1 to 4."""
    least: int = 3
    """Least number of moves in a level's shortest solution; the most is the horizon."""
    rewards: Rewards = Rewards.final  # type: ignore[misc]  # an option here, a constant of other environments
    """`final`: 1 for success, at the end. `dense`: gym-sokoban's, -0.1 for a step, 1 for a box that comes
    onto a target, -1 for one that leaves one, 10 when all are on targets."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (("size", 4, 10), ("boxes", 1, 4)):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"env.{name}={getattr(self, name)} must be {least} to {most}")
        if self.size == 4 and self.boxes > 1:
            raise UserError(f"env.boxes={self.boxes} do not fit into env.size=4: raise env.size")
        if not 1 <= self.least <= self.horizon:
            raise UserError(f"env.least={self.least} must be 1 to env.horizon={self.horizon}")

    @property
    def reward_range(self) -> tuple[float, float]:  # type: ignore[override]  # it depends on `rewards`
        """The least and the most that one step pays."""
        dense = self.rewards is Rewards.dense
        return (STEP - ON_TARGET, STEP + ON_TARGET + FINISHED) if dense else (0.0, 1.0)

    def make(self) -> "Sokoban":
        return Sokoban(self)

    def identity(self, seed: int) -> Hashable | None:
        """The room: no two tasks share one, wherever they start."""
        level = self.level(seed)
        return level and level.room

    def level(self, seed: int) -> Level | None:
        """The level of a task with this seed; None if it gives none."""
        return make_level(seed, self.size, self.boxes, self.least, self.horizon)

    @property
    def enumerable(self) -> bool:
        return self.history == 0

    def vocabulary(self) -> list[str]:
        signs = (WALL, FLOOR, TARGET, BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET)
        return [*(sign.lower() for sign in signs), *ACTIONS]


class Sokoban(Environment):
    """One Sokoban episode."""

    def __init__(self, spec: SokobanSpec) -> None:
        self.spec = spec

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        level = self.spec.level(task.seed)
        assert level is not None, "a task's seed gives a level"
        self.room, self.position = level.room, level.start
        self.steps = 0
        return self._observation(), Info(self.state_key, ACTIONS)

    def step(self, action: str) -> Transition:
        valid = action in ACTIONS
        before = self._on_target()
        self.steps += 1
        if valid:
            self.position = self.room.after(self.position, action)
        success = self.position.boxes == self.room.targets
        truncated = self.steps >= self.spec.horizon and not success
        reward = float(success)
        if self.spec.rewards is Rewards.dense:
            reward = STEP + ON_TARGET * (self._on_target() - before) + FINISHED * success
        info = Info(self.state_key, ACTIONS, valid, success)
        return Transition(self._observation(), reward, success, truncated, info)

    def copy(self) -> Self:
        # Every attribute is replaced on change, never changed in place, so a shallow copy is independent.
        return copy(self)

    def _on_target(self) -> int:
        return len(self.position.boxes & self.room.targets)

    def _observation(self) -> str:
        return "\n".join(" ".join(row) for row in drawn(self.room, self.position))

    @property
    def state_key(self) -> str:
        return "/".join("".join(row) for row in drawn(self.room, self.position))


def drawn(room: Room, position: Position) -> list[list[str]]:
    """The grid, row by row, a sign for each cell."""

    def sign(cell: Cell) -> str:
        target = cell in room.targets
        if cell == position.player:
            return PLAYER_ON_TARGET if target else PLAYER
        if cell in position.boxes:
            return BOX_ON_TARGET if target else BOX
        if cell not in room.floor:
            return WALL
        return TARGET if target else FLOOR

    return [[sign((row, column)) for column in range(room.size)] for row in range(room.size)]
