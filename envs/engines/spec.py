"""The dials of all environments whose games run in worker processes, and the games of this process."""

import os
import threading
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakValueDictionary

from envs.base import EnvironmentSpec, Task
from envs.engines.game import Game
from envs.engines.worker import Limits, Workers
from harness.errors import UserError

GIB = 2**30


@dataclass(frozen=True)
class EngineSpec(EnvironmentSpec):
    """An environment whose games are another package's."""

    engine: ClassVar[str]
    """`package.module:Class` of its `Engine`; imported by worker processes alone, with the package."""
    markov: ClassVar[bool] = False
    """As the engine's own `Engine.markov`."""
    room: ClassVar[int] = 64
    """Running games in one worker process; what all of them take is the process's memory."""
    resources: ClassVar[tuple[str, ...]] = ("workers", "answer_seconds", "memory_gb", "network")

    workers: int = 1
    """Processes that games run in; each game has one."""
    answer_seconds: float = 120.0
    """The longest wait for a game's answer; then its process is ended and its episode lost."""
    memory_gb: float = 4.0
    """Memory that a process of games may take, in GiB; an episode whose game asks for more is lost."""
    network: bool = False
    """Whether games, as Python programs, may connect to other machines."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("workers", "answer_seconds", "memory_gb"):
            if not getattr(self, name) > 0:
                raise UserError(f"env.{name}={getattr(self, name)} must be above 0")

    @abstractmethod
    def game_name(self, task: Task) -> str:
        """The name of a task's game, from which its engine is made."""

    def game(self, name: str) -> Game:
        """The game of this name. A process has one of each, so that its memory serves all episodes; it lasts
        as long as somebody holds it."""
        limits = Limits(
            workers=self.workers,
            room=self.room,
            seconds=self.answer_seconds,
            memory_bytes=int(self.memory_gb * GIB),
            network=self.network,
        )
        return shared_game(self.engine, self.markov, limits, name)


_making = threading.Lock()
_workers: WeakValueDictionary[tuple[object, ...], Workers] = WeakValueDictionary()
_games: WeakValueDictionary[tuple[object, ...], Game] = WeakValueDictionary()


def shared_game(engine: str, markov: bool, limits: Limits, name: str) -> Game:
    """This process's game of this name. Games and processes end when no environment holds them any more."""
    home = (os.getpid(), engine, limits)  # a fork has its own
    with _making:
        game = _games.get((home, name))
        if game is None:
            workers = _workers.get(home)
            if workers is None:
                workers = _workers[home] = Workers(engine, limits)
            game = _games[home, name] = Game(name, workers.scene, markov)
        return game
