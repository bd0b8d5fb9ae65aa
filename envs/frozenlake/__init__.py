"""`env=frozenlake`: cross the ice to the goal without falling into a hole.

The dynamics are those of Gymnasium's `FrozenLake-v1`, the text is that of the field's tables. The grid is all
there is to know; on ice that is not slippery, exact values can be computed.
"""

import random
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Self

from envs.base import ClosedVocabulary, Environment, Info, Task, Transition
from envs.drawn import DrawnSpec
from envs.frame import Example, Frame
from envs.frozenlake.lake import ACTIONS, Cell, Lake, freeze
from harness.errors import UserError

ICE, HOLE, GOAL, PLAYER, IN_HOLE, ON_GOAL = "_", "O", "G", "P", "X", "√"

FRAME = Frame(
    system=(
        "You cross a frozen lake on a grid, one letter a cell: P is you, _ ice, O a hole, G the goal, X you "
        "in a hole, √ you on the goal. You move left, down, right or up; the ice can be slippery, and then "
        "you may slide to the side instead. Get to the goal and fall into no hole. Each turn, {how}."
    ),
    examples=(
        Example("P O\n_ G", ACTIONS, "down"),
        Example("O _ G\n_ P _\n_ _ _", ACTIONS, "right"),
    ),
)


@dataclass(frozen=True)
class FrozenLakeSpec(ClosedVocabulary, DrawnSpec):
    """The frozen lake and its dials."""

    name: ClassVar[str] = "frozenlake"
    version: ClassVar[str] = "1"
    frame: ClassVar[Frame] = FRAME
    more_tasks: ClassVar[str] = "raise env.size or env.horizon, or take another env.holes"

    max_prompt_tokens: int = 64
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    size: int = 4
    """Rows and columns of the lake, 2 to 12."""
    holes: float = 0.2
    """Probability that a cell is a hole; Gymnasium's random maps have 0.2."""
    corners: bool = True
    """Whether the way is from the upper left corner to the lower right one, as in Gymnasium; without, start
    and goal are anywhere, as in RAGEN."""
    slippery: bool = False
    """Whether a step may go sideways, as Gymnasium's `is_slippery`."""
    success_rate: float = 1 / 3
    """Probability that a step on slippery ice goes where it was meant to; both sides share the rest."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.size <= 12:
            raise UserError(f"env.size={self.size} must be 2 to 12")
        if not 0.0 <= self.holes < 1.0:
            raise UserError(f"env.holes={self.holes} must be at least 0 and below 1")
        if not 0.0 < self.success_rate <= 1.0:
            raise UserError(f"env.success_rate={self.success_rate} must be above 0 and at most 1")
        if self.corners and self.horizon < 2 * (self.size - 1):
            raise UserError(
                f"env.horizon={self.horizon} is too short to cross any lake of env.size={self.size}: "
                f"raise it to {2 * (self.size - 1)}"
            )

    def make(self) -> "FrozenLake":
        return FrozenLake(self)

    def identity(self, seed: int) -> Lake | None:
        lake = self.lake(seed)
        way = lake.shortest()
        return lake if way is not None and len(way) <= self.horizon else None

    def lake(self, seed: int) -> Lake:
        """The lake of a task with this seed."""
        return freeze(seed, self.size, self.holes, self.corners)

    @property
    def enumerable(self) -> bool:
        return not self.slippery and self.history == 0

    def vocabulary(self) -> list[str]:
        return [*(sign.lower() for sign in (ICE, HOLE, GOAL, PLAYER, IN_HOLE, ON_GOAL)), *ACTIONS]


class FrozenLake(Environment):
    """One crossing."""

    def __init__(self, spec: FrozenLakeSpec) -> None:
        self.spec = spec

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        self.lake = self.spec.lake(task.seed)
        self.cell = self.lake.start
        self.seed = seed
        self.steps = 0
        return self._observation(), Info(self.state_key, ACTIONS)

    def step(self, action: str) -> Transition:
        valid = action in ACTIONS
        self.steps += 1
        if valid:
            self.cell = self._slide(action)
        success = self.cell == self.lake.goal
        terminated = success or self.cell in self.lake.holes
        truncated = self.steps >= self.spec.horizon and not terminated
        info = Info(self.state_key, ACTIONS, valid, success)
        return Transition(self._observation(), float(success), terminated, truncated, info)

    def copy(self) -> Self:
        # Every attribute is replaced on change, never changed in place, so a shallow copy is independent.
        return copy(self)

    def _slide(self, action: str) -> Cell:
        """Where the action leads; chance is this episode's and this step's."""
        if not self.spec.slippery:
            return self.lake.beside(self.cell, action)
        outcomes = self.lake.outcomes(self.cell, action, self.spec.success_rate)
        noise = random.Random(f"frozenlake slides/{self.seed}/{self.steps}")
        _, cell = noise.choices(outcomes, [chance for chance, _ in outcomes])[0]
        return cell

    def _observation(self) -> str:
        size = range(self.lake.size)
        return "\n".join(" ".join(self._sign((row, column)) for column in size) for row in size)

    def _sign(self, cell: Cell) -> str:
        hole, goal = cell in self.lake.holes, cell == self.lake.goal
        if cell == self.cell:
            return IN_HOLE if hole else ON_GOAL if goal else PLAYER
        return HOLE if hole else GOAL if goal else ICE

    @property
    def state_key(self) -> str:
        return f"{self.cell[0]},{self.cell[1]}"
