"""What plays a game of another package, command by command."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Scene:
    """What a game shows after some commands. All of it can be written as JSON."""

    text: str
    """The game's answer to the last command; at the start, its first text."""
    key: str
    """Names the game's state: equal keys of one game mean that it goes on alike, whatever came before."""
    commands: tuple[str, ...] = ()
    """What the game says is possible here."""
    view: str = ""
    """What there is to see whatever the last command was, if the game tells it apart from its answer."""
    goal: str = ""
    """At the start, what the game says is to be done, if it tells it apart from its first text."""
    score: float = 0.0
    """The score so far, as the game counts it."""
    reward: float = 0.0
    """What the last command paid, if the game pays by the step."""
    won: bool = False
    over: bool = False
    """Whether the game has ended, won or lost."""
    metrics: Mapping[str, float] = field(default_factory=dict)


class Engine(ABC):
    """One running game. The same commands from the start always show the same scenes.

    Subclasses take the game's name, from which a worker process makes them: whatever text says where the
    game is and how it is set up. Python's and numpy's global random generators are an engine's own while it
    works, and seeded by the game's name.
    """

    markov: ClassVar[bool] = False
    """Whether a scene's key and the next command alone decide what the game shows next, so that a state
    that was reached on two ways is played on from once."""

    def __init__(self, game: str) -> None:
        self.game = game

    @abstractmethod
    def start(self) -> Scene:
        """Begin, or begin again."""

    @abstractmethod
    def play(self, command: str) -> Scene:
        """Give one command."""

    def close(self) -> None:
        """Release what it holds outside Python's memory."""
        return None
