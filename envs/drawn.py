"""Environments whose tasks are drawn from seeds, no two of them alike."""

import functools
import hashlib
from abc import abstractmethod
from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from envs.base import STREAMS, EnvironmentSpec, Task
from harness.errors import UserError


@dataclass(frozen=True)
class DrawnSpec(EnvironmentSpec):
    """An environment with as many tasks as there are different draws."""

    more_tasks: ClassVar[str]
    """What a user changes to have more different tasks, e.g. `raise env.rooms`."""

    @abstractmethod
    def identity(self, seed: int) -> Hashable | None:
        """What tells the task of this seed from others; None if this seed gives none."""

    def goal(self, seed: int) -> str:
        """What the policy is told of the task of this seed."""
        return ""

    def task(self, stream: str, index: int) -> Task:
        """Task number `index` of a stream: unlike all before it, and all of the streams before its own."""
        seed = distinct_seeds(self, stream, max(self.planned(stream), index + 1))[index]
        return Task(id=f"{self.name}-{stream}-{index}", seed=seed, goal=self.goal(seed))


@functools.cache
def distinct_seeds(spec: DrawnSpec, stream: str, count: int) -> tuple[int, ...]:
    """The first seeds of a stream whose tasks are all different, and in no stream before it."""
    earlier = STREAMS[: STREAMS.index(stream)]
    taken = [seed for name in earlier for seed in distinct_seeds(spec, name, spec.planned(name))]
    seen = {spec.identity(seed) for seed in taken}
    seeds: list[int] = []
    for number in range(100 * (count + len(seen))):
        digest = hashlib.sha256(f"{spec.name}/{stream}/{number}".encode()).digest()
        seed = int.from_bytes(digest[:7], "big")
        identity = spec.identity(seed)
        if identity is not None and identity not in seen:
            seen.add(identity)
            seeds.append(seed)
        if len(seeds) == count:
            return tuple(seeds)
    raise UserError(
        f"there are only {len(seen)} different tasks: lower env.train_tasks and env.eval_tasks, "
        f"{spec.more_tasks}"
    )
