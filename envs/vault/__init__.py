"""`env=vault`, the calibration world: find the key, open the locked door, take the coin.

Pure Python, 17 words per observation, one reward at the end. The observation is all that the policy
reads, and (room, items, door, last two moves, step) is all that moves it, so that exact values of such a
policy can be computed.
"""

import functools
import hashlib
import random
from copy import copy
from dataclasses import dataclass, field
from typing import ClassVar, Self

from envs.base import LATER, ClosedVocabulary, Environment, EnvironmentSpec, Info, Task, Transition
from envs.vault.layout import DIRECTIONS, DISTRACTORS, GRID, ROOMS, Layout, dig
from harness.errors import UserError

THOUGHTS = tuple(f"hm{i}" for i in range(8))
NOTHING = "-"
HIDDEN = "?"
# A direction is another word in each role, so that a word alone says what it means.
SIDES = {way: f"{way}ern" for way in DIRECTIONS}
WARDS = {way: f"{way}ward" for way in DIRECTIONS}


@dataclass(frozen=True)
class VaultSpec(ClosedVocabulary, EnvironmentSpec):
    """The vault and its dials."""

    name: ClassVar[str] = "vault"
    version: ClassVar[str] = "1"

    rooms: int = 5
    """Rooms on the tree, 2 to 9."""
    key: bool = True
    """Whether the coin's room is locked and the key must be found first."""
    hidden_exits: bool = False
    """Whether exits are hidden, so that a wall is found only by walking into it."""
    distractors: int = 0
    """Rooms that hold a worthless thing to take."""
    slip: float = 0.0
    """Probability that a move goes through a random exit of the room instead of the one named."""
    thought: int = field(default=0, metadata=LATER)
    """Free words that the policy says before each action: sampled and trained, ignored by the vault. They
    come on top of max_action_tokens."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 2 <= self.rooms <= min(len(ROOMS), GRID * GRID):
            raise UserError(f"env.rooms={self.rooms} must be 2 to {len(ROOMS)}")
        free = self.rooms - 1 - self.key
        if not 0 <= self.distractors <= min(free, len(DISTRACTORS)):
            most = min(free, len(DISTRACTORS))
            raise UserError(
                f"env.distractors={self.distractors} must be 0 to {most} with env.rooms={self.rooms}"
            )
        if not 0.0 <= self.slip < 1.0:
            raise UserError(f"env.slip={self.slip} must be at least 0 and below 1")
        if self.thought < 0:
            raise UserError(f"env.thought={self.thought} must be at least 0")
        if self.thought and self.history:
            raise UserError(
                f"env.thought={self.thought} clashes with env.history={self.history}: past steps are shown "
                "without their thoughts; set env.history=0"
            )
        if self.horizon < 2 + 3 * self.key:
            raise UserError(f"env.horizon={self.horizon} is too short to solve any vault: raise it")

    def make(self) -> "Vault":
        return Vault(self)

    def task(self, stream: str, index: int) -> Task:
        """The first layout of the task's seed stream that can be solved within the horizon."""
        taken = comparison_layouts(self) if stream.startswith("tuning") else []
        for attempt in range(1000):
            digest = hashlib.sha256(f"vault/{stream}/{index}/{attempt}".encode()).digest()
            seed = int.from_bytes(digest[:7], "big")
            layout = self.layout(seed)
            if layout.shortest() <= self.horizon and layout not in taken:
                return Task(id=f"vault-{stream}-{index}", seed=seed)
        raise UserError(f"env.horizon={self.horizon} is too short for env.rooms={self.rooms}: raise it")

    @property
    def enumerable(self) -> bool:
        return self.slip == 0 and self.history == 0 and self.thought == 0

    @property
    def thought_tokens(self) -> int:
        return self.thought

    @property
    def thought_words(self) -> tuple[str, ...]:
        return THOUGHTS if self.thought else ()

    def layout(self, seed: int) -> Layout:
        """The layout of a task with this seed."""
        return dig(seed, self.rooms, self.key, self.distractors)

    def vocabulary(self) -> list[str]:
        words = ["in", "exits", "door", "see", "hold", "last", "go", "take", "open", "look", "key", "coin"]
        words += ["locked", NOTHING, HIDDEN, *ROOMS, *DIRECTIONS, *SIDES.values(), *WARDS.values()]
        return [*words, *DISTRACTORS[: self.distractors], *self.thought_words]


@functools.cache
def comparison_layouts(spec: VaultSpec) -> list[Layout]:
    """The layouts that comparisons train or evaluate on: few rooms make for few layouts, and some repeat."""
    tasks = [spec.task(stream, i) for stream in ("train", "eval") for i in range(spec.planned(stream))]
    return [spec.layout(task.seed) for task in tasks]


class Vault(Environment):
    """One vault episode."""

    def __init__(self, spec: VaultSpec) -> None:
        self.spec = spec

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        self.layout = self.spec.layout(task.seed)
        self.seed = seed
        self.room = 0
        self.held = False
        self.opened = self.layout.door is None
        self.taken: frozenset[int] = frozenset()
        self.moves = (NOTHING, NOTHING)
        self.steps = 0
        return self._observation(), Info(self.state_key, self._admissible())

    def step(self, action: str) -> Transition:
        valid = action in self._admissible()
        success = valid and action == "take coin"
        self.steps += 1
        if valid:
            self._apply(action)
        truncated = self.steps >= self.spec.horizon and not success
        info = Info(self.state_key, self._admissible(), valid, success)
        return Transition(self._observation(), float(success), success, truncated, info)

    def copy(self) -> Self:
        # Every attribute is replaced on change, never changed in place, so a shallow copy is independent.
        return copy(self)

    def _apply(self, action: str) -> None:
        verb, *rest = action.split()
        if verb == "go":
            self._move(rest[0])
        elif verb == "open":
            self.opened = True
        elif action == "take key":
            self.held = True
        elif verb == "take" and action != "take coin":
            self.taken |= {self.room}

    def _move(self, direction: str) -> None:
        if self.spec.slip:
            noise = random.Random(f"slip/{self.seed}/{self.steps}")
            if noise.random() < self.spec.slip:
                direction = noise.choice(self._passages())
        self.room = self.layout.exits[self.room].get(direction, self.room)
        self.moves = (self.moves[1], direction)

    def _passages(self) -> list[str]:
        """Directions that lead on from here, a locked door excepted."""
        locked = None if self.opened else self.layout.door
        return [way for way in self.layout.exits[self.room] if (self.room, way) != locked]

    def _item(self) -> str | None:
        if self.room == self.layout.coin:
            return "coin"
        if self.room == self.layout.key and not self.held:
            return "key"
        return None if self.room in self.taken else self.layout.items[self.room]

    def _admissible(self) -> tuple[str, ...]:
        walls_too = self.spec.hidden_exits
        ways = [way for way in DIRECTIONS if walls_too or way in self._passages()]
        actions = [f"go {way}" for way in ways]
        if item := self._item():
            actions.append(f"take {item}")
        if self.held and not self.opened and self.layout.door and self.room == self.layout.door[0]:
            actions.append("open door")
        return (*actions, "look")

    def _observation(self) -> str:
        seen = [HIDDEN if self.spec.hidden_exits else way for way in DIRECTIONS]
        exits = [way if way in self.layout.exits[self.room] or way == HIDDEN else NOTHING for way in seen]
        door = [NOTHING, NOTHING]
        if self.layout.door and self.room == self.layout.door[0]:
            door = ["open" if self.opened else "locked", self.layout.door[1]]
        words = ["in", self.layout.names[self.room], "exits", *exits, "door", *door]
        words += [
            "see",
            self._item() or NOTHING,
            "hold",
            "key" if self.held else NOTHING,
            "last",
            *self.moves,
        ]
        return " ".join(words)

    @property
    def state_key(self) -> str:
        taken = ",".join(str(room) for room in sorted(self.taken))
        return f"{self.room}/{self.held:d}{self.opened:d}/{taken}"
