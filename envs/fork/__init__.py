"""`env=fork`, the bifurcation world: a walk on which few choices matter, and it is known which.

Every step offers the same words. At a fork one of them is right; at all other places the choice changes what
is seen next and nothing else. One reward, at the end. Which steps matter, how many, how far from the reward
and how much lies between are dials, so that credit can be held against the truth.
"""

import random
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Self

from envs.base import ClosedVocabulary, Environment, Info, Task, Transition
from envs.drawn import DrawnSpec
from envs.fork.road import FORKS, SIGHTS, WAYS, Road, build
from envs.frame import Example, Frame
from harness.errors import UserError

END = "end"

FRAME = Frame(
    system=(
        "You walk along a road and choose a way at every place. At some places the choice decides whether "
        "you succeed, at others it does not matter; you are told at the end. Each turn, {how}."
    ),
    examples=(
        Example("at gate", WAYS[:2], "right"),
        Example("at stile", WAYS[:2], "left"),
    ),
)


@dataclass(frozen=True)
class ForkSpec(ClosedVocabulary, DrawnSpec):
    """The road and its dials. A road has pivots x (gap + 1) + delay places."""

    name: ClassVar[str] = "fork"
    version: ClassVar[str] = "1"
    frame: ClassVar[Frame] = FRAME
    more_tasks: ClassVar[str] = "raise env.pivots, env.gap or env.delay"

    max_prompt_tokens: int = 64
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    pivots: int = 3
    """Choices that matter, 1 to 6."""
    options: int = 3
    """Choices at every place, 2 to 4; at a fork one of them is right."""
    gap: int = 1
    """Steps that do not matter before each fork."""
    delay: int = 3
    """Steps that do not matter between the last fork and the reward."""
    recoverable: bool = False
    """Whether a wrong way leads back to its fork, at the cost of a step; without, the reward is lost, and
    nothing shows it."""
    slip: float = 0.0
    """Probability that a way is replaced by a random one."""
    shows_past: bool = False
    """Whether the observation names the ways that were chosen so far."""

    def __post_init__(self) -> None:
        super().__post_init__()
        limits = {"pivots": (1, 6), "options": (2, len(WAYS)), "gap": (0, 20), "delay": (0, 20)}
        for name, (least, most) in limits.items():
            if not least <= getattr(self, name) <= most:
                raise UserError(f"env.{name}={getattr(self, name)} must be {least} to {most}")
        if not 0.0 <= self.slip < 1.0:
            raise UserError(f"env.slip={self.slip} must be at least 0 and below 1")
        if self.horizon < self.length:
            raise UserError(
                f"env.horizon={self.horizon} is too short: the road has {self.length} places "
                f"(env.pivots x (env.gap + 1) + env.delay); raise it to {self.length} or more"
            )

    @property
    def length(self) -> int:
        """Places of a road."""
        return self.pivots * (self.gap + 1) + self.delay

    def make(self) -> "Fork":
        return Fork(self)

    def identity(self, seed: int) -> Road:
        return self.road(seed)

    def road(self, seed: int) -> Road:
        """The road of a task with this seed."""
        return build(seed, self.pivots, self.options, self.gap, self.delay)

    def pivotal(self, task: Task, state_key: str) -> bool:
        """Whether the choice in this state of a task can change the reward (if the horizon lets it arrive).

        Exactly so: at a fork, unless a wrong way was taken before.
        """
        place, lost, _ = state_key.split("/")
        return lost == "0" and int(place) in self.road(task.seed).forks()

    @property
    def enumerable(self) -> bool:
        return self.slip == 0 and self.history == 0

    def vocabulary(self) -> list[str]:
        return ["at", END, "past", *FORKS, *SIGHTS, *WAYS[: self.options]]


class Fork(Environment):
    """One walk."""

    def __init__(self, spec: ForkSpec) -> None:
        self.spec = spec
        self.ways = WAYS[: spec.options]

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        self.road = self.spec.road(task.seed)
        self.seed = seed
        self.steps = self.place = 0
        self.lost = False
        self.seen = self.road.places[0][0]
        self.past: tuple[str, ...] = ()
        return self._observation(), Info(self.state_key, self.ways)

    def step(self, action: str) -> Transition:
        valid = action in self.ways
        self.steps += 1
        if valid:
            self._walk(self._slipped(action))
        arrived = self.place == len(self.road.places)
        success = arrived and not self.lost
        truncated = self.steps >= self.spec.horizon and not arrived
        info = Info(self.state_key, self.ways, valid, success)
        return Transition(self._observation(), float(success), arrived, truncated, info)

    def copy(self) -> Self:
        # Every attribute is replaced on change, never changed in place, so a shallow copy is independent.
        return copy(self)

    def _slipped(self, way: str) -> str:
        """The way that is taken; chance is this episode's and this step's."""
        if self.spec.slip:
            noise = random.Random(f"fork slips/{self.seed}/{self.steps}")
            if noise.random() < self.spec.slip:
                return noise.choice(self.ways)
        return way

    def _walk(self, way: str) -> None:
        self.past = (*self.past, way)
        wrong = self.road.is_fork(self.place) and way != self.road.right(self.place)
        if wrong and self.spec.recoverable:
            return
        self.lost = self.lost or wrong
        self.place += 1
        places = self.road.places
        self.seen = places[self.place][self.ways.index(way)] if self.place < len(places) else END

    def _observation(self) -> str:
        past = ("past", *self.past) if self.spec.shows_past else ()
        return " ".join(("at", self.seen, *past))

    @property
    def state_key(self) -> str:
        return f"{self.place}/{self.lost:d}/{self.seen}"
