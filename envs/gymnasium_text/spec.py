"""Text environments with Gymnasium's interface as environments of ours."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import ClassVar

from envs.base import Info, Rewards, Task, Transition
from envs.engines import EngineSpec, Played, Scene
from harness.errors import UserError


@dataclass(frozen=True)
class TextSpec(EngineSpec):
    """An adapted environment. A task is a seed of its `reset`."""

    makes: ClassVar[str]
    """`package.module:callable` that makes the environment, called in a worker process."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Modules that must be installed."""
    install: ClassVar[str] = ""
    """The command that installs them."""

    @abstractmethod
    def arguments(self) -> Mapping[str, object]:
        """The keyword arguments that it is made with; anything that JSON can say."""

    def goal(self) -> str:
        """What the policy is told to do, in every prompt."""
        return ""

    def make(self) -> "TextGame":
        return TextGame(self)

    def task(self, stream: str, index: int) -> Task:
        digest = hashlib.sha256(f"{self.name}/{stream}/{index}".encode()).digest()
        seed = int.from_bytes(digest[:4], "big") >> 1  # numpy's and C's generators take 31 bits
        return Task(f"{self.name}-{stream}-{index}", seed, self.goal())

    def game_name(self, task: Task) -> str:
        recipe = {"makes": self.makes, "arguments": self.arguments(), "seed": task.seed}
        return json.dumps(recipe, sort_keys=True)

    def check(self) -> None:
        missing = [module for module in self.needs if not find_spec(module)]
        if missing:
            raise UserError(f"env={self.name} needs {' and '.join(missing)}: {self.install}")


class TextGame(Played):
    """An episode of an adapted environment. Where actions are listed, it hears no other."""

    spec: TextSpec

    def command(self, action: str) -> str | None:
        return super().command(action) if self.spec.lists_actions else action

    def step(self, action: str) -> Transition:
        seen = super().step(action)
        return seen._replace(reward=self._paid(seen))

    def info(self, scene: Scene, valid: bool) -> Info:
        score = scene.score if self.spec.graded else None
        actions = tuple(self.actions(scene)) if self.spec.lists_actions else ()
        return Info(self.state_key, actions, valid, scene.won, score)

    def _paid(self, seen: Transition) -> float:
        """The score, at the end, or what the environment pays for the step."""
        if self.spec.rewards is Rewards.final:
            return seen.info.score_or_success if seen.terminated or seen.truncated else 0.0
        if not seen.info.valid:
            return 0.0
        paid, (least, most) = self._place.scene.reward, self.spec.reward_range
        if not least <= paid <= most:
            raise ValueError(f"it paid {paid:g}, and reward_range is {least:g} to {most:g}")
        return paid
