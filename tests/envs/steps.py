"""A text environment with Gymnasium's interface, for the tests of envs.gymnasium_text: climb to a height.

It draws from the global generators in mid-game, keeps on playing and paying after the end, and pays for a
near miss.
"""

import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from envs.base import Rewards
from envs.gymnasium_text import Seen, TextEngine, TextSpec


class Steps:
    """Climb `up` or `far` (1 or 2 at random); above the height, one has fallen."""

    def __init__(self, height: int) -> None:
        self.height = height

    def reset(self, seed=None):
        random.seed(seed)
        np.random.seed(seed)
        self.at = 0
        return f"a stair of {self.height}, wind {random.random():.6f}", {}

    def step(self, action):
        self.at += random.choice([1, 2]) if action == "FAR" else action == "UP"
        text = f"at {self.at}, wind {np.random.random():.6f}"
        if self.at > self.height:
            return f"{text}, fallen", 0.75, True, False, {}
        return text, float(self.at == self.height), self.at == self.height, False, {"at": self.at}


class Climb(TextEngine):
    def won(self, seen: Seen) -> bool:
        return seen.info.get("at") == self.env.height

    def score(self, seen: Seen) -> float:
        return 0.0 if self.env.at > self.env.height else self.env.at / self.env.height

    def actions(self, seen: Seen) -> list[str]:
        return ["up", "far"]

    def written(self, action: str) -> str:
        return action.upper()


@dataclass(frozen=True)
class ClimbSpec(TextSpec):
    name: ClassVar[str] = "climb"
    version: ClassVar[str] = "1"
    engine: ClassVar[str] = "tests.envs.steps:Climb"
    makes: ClassVar[str] = "tests.envs.steps:Steps"
    needs: ClassVar[tuple[str, ...]] = ("json",)

    height: int = 4

    def arguments(self) -> dict[str, object]:
        return {"height": self.height}


class Dense(ClimbSpec):
    rewards: ClassVar[Rewards] = Rewards.dense


class Graded(ClimbSpec):
    graded: ClassVar[bool] = True


class Free(ClimbSpec):
    lists_actions: ClassVar[bool] = False
