"""The game of engine_of_counts as an environment: count to three from the number that a task names."""

from dataclasses import dataclass
from typing import ClassVar

from envs.base import ClosedVocabulary, Task
from envs.engines import EngineSpec, Played, Scene


@dataclass(frozen=True)
class CountingSpec(ClosedVocabulary, EngineSpec):
    name: ClassVar[str] = "counting"
    version: ClassVar[str] = "1"
    engine: ClassVar[str] = "tests.envs.engine_of_counts:Counts"
    markov: ClassVar[bool] = True

    horizon: int = 4
    begins: str = "0"
    """What the game is named by; no number: it does not start."""
    offered: tuple[str, ...] = ("add", "look")

    def make(self) -> "Counting":
        return Counting(self)

    def task(self, stream: str, index: int) -> Task:
        return Task(f"counting-{stream}-{index}", index)

    def game_name(self, task: Task) -> str:
        return self.begins

    def vocabulary(self) -> list[str]:
        return [*self.offered, "begun", "nothing", "happens", "."]


class Counting(Played):
    spec: CountingSpec

    def actions(self, scene: Scene) -> dict[str, str]:
        return {each: each for each in self.spec.offered}
