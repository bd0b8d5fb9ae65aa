"""What the configurations of Java games have in common."""

import functools
import hashlib
import json
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from envs.base import Task
from envs.engines.java import JavaPackage
from envs.engines.spec import EngineSpec
from envs.engines.worker import EngineFailed
from harness.caches import cache_folder, read_note, write_note
from harness.errors import UserError

LEAST_MEMORY_GB = 0.5


@dataclass(frozen=True)
class JavaSpec(EngineSpec):
    """An environment whose games are Java programs inside a Python package."""

    package: ClassVar[JavaPackage]

    memory_gb: float = 1.0
    """Memory that a process of games may take, in GiB, and the Java machine that it starts as much again; the
    machine's heap is a quarter GiB less. An episode whose game asks for more is lost."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.memory_gb < LEAST_MEMORY_GB:
            raise UserError(
                f"env.memory_gb={self.memory_gb} must be at least {LEAST_MEMORY_GB}: a Java machine takes a "
                "quarter GiB before its first game"
            )

    def check(self) -> None:
        self.package.check()
        self.training_panel()
        self.evaluation_panel()

    def files(self) -> list[Path]:
        return [self.package.folder / self.package.jar]

    def task(self, stream: str, index: int) -> Task:
        """The task number `index` of a stream; its goal is asked of the game when it is first needed."""
        tasks = self.stream(stream)
        count = max(index + 1, self.planned(stream))
        if count > len(tasks):
            raise UserError(
                f"{count} tasks are asked for of {len(tasks)} that {self.name} has for {stream}: "
                f"lower env.{'train' if stream.endswith('train') else 'eval'}_tasks"
            )
        return goals(self, tuple(tasks[:count]))[index]

    @abstractmethod
    def stream(self, stream: str) -> list[Task]:
        """All tasks of a stream, without their goals."""


@functools.cache
def goals(spec: JavaSpec, tasks: tuple[Task, ...]) -> list[Task]:
    """The tasks with the goals that their games tell. They are kept on disk: games may load slowly."""
    names = [spec.game_name(task) for task in tasks]
    content = json.dumps([spec.package.version, names])
    path = cache_folder(spec.name) / f"goals-{hashlib.sha256(content.encode()).hexdigest()[:24]}.json"
    told = _kept(path, len(tasks))
    if told is None:
        spec.package.check()
        told = _ask(spec, names)
        write_note(path, json.dumps(told))
    return [Task(task.id, task.seed, goal) for task, goal in zip(tasks, told, strict=True)]


def _ask(spec: JavaSpec, names: list[str]) -> list[str]:
    games = [spec.game(name) for name in names]  # held together, so that the same processes serve all of them
    try:
        return [game.start().scene.goal for game in games]
    except (EngineFailed, TimeoutError) as error:
        raise UserError(f"env={spec.name}: {error}") from error


def _kept(path: Path, count: int) -> list[str] | None:
    """The goals in a file, or None if it is not there or not whole."""
    try:
        told = json.loads(read_note(path))
    except ValueError:
        return None
    whole = isinstance(told, list) and len(told) == count and all(isinstance(goal, str) for goal in told)
    return told if whole else None
