"""One running game, and the memory of what games answered."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.base import normalise
from envs.textworld.games import library, retold
from envs.textworld.zmachine import movable, piles

Commands = tuple[str, ...]
MEMORY_LIMIT = 100_000
ROOM_TITLE = "-="


@dataclass(frozen=True)
class State:
    """What there is to know of a game's state."""

    key: str
    view: str
    """What is carried, and the room's description."""
    actions: dict[str, str]
    """The admissible actions in normalised words, and the commands they stand for."""
    won: bool


@dataclass(frozen=True)
class Frame:
    """What a game shows after some commands: its reply to the last of them, and the state it left."""

    reply: str
    """Empty at the start and on entering a room, where the game replies with the room's description."""
    state: State


@dataclass
class Memory:
    """A game's frames by the commands that led to them.

    Games are deterministic, so a frame shown once need not be played again: the interpreter and TextWorld's
    bookkeeping are a hundred times slower than a look-up, and rollouts of a task share beginnings.
    """

    frames: dict[Commands, Frame] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    """One object for each state, shared by all the ways that lead there."""

    def add(self, commands: Commands, reply: str, state: State) -> Frame:
        """Remember a frame; forgets everything first when full."""
        if len(self.frames) >= MEMORY_LIMIT:
            self.frames.clear()
            self.states.clear()
        return self.frames.setdefault(commands, Frame(reply, self.states.setdefault(state.key, state)))


class Story:
    """Plays one game. The interpreter is started, and catches up, only when something new is asked."""

    def __init__(self, path: Path, memory: Memory) -> None:
        self.path = path
        self._memory = memory
        self._game: Any = None
        self._things: frozenset[int] = frozenset()
        self._played: Commands | None = None
        """The commands that the interpreter has been given since its last reset."""

    def frame(self, commands: Commands) -> Frame:
        """What the game shows after `commands`, each admissible in its turn."""
        if known := self._memory.frames.get(commands):
            return known
        shown = self._play(commands)
        order = piles(self._game.unwrapped._jericho.get_state()[0], self._things)
        return self._memory.add(commands, _reply(shown) if commands else "", _state(shown, order))

    def close(self) -> None:
        """Stop the interpreter."""
        if self._game is not None:
            self._game.close()
        self._game = self._played = None

    def _play(self, commands: Commands) -> Any:
        if self._game is None:
            self._game = _start(self.path)
            self._things = movable(self.path.read_bytes())
        played = self._played
        if played is None or commands[: len(played)] != played or commands == played:
            shown, played = self._game.reset(), ()
        for command in commands[len(played) :]:
            shown, _, _ = self._game.step(command)
        self._played = commands
        return shown


def _start(path: Path) -> Any:
    textworld = library()
    infos = textworld.EnvInfos(
        description=True, inventory=True, admissible_commands=True, facts=True, won=True
    )
    return textworld.start(str(path), infos)


def _reply(shown: Any) -> str:
    reply = shown.feedback.strip().split("\n\n")[0]
    return "" if reply.startswith(ROOM_TITLE) else normalise(reply)


def _state(shown: Any, order: Sequence[Sequence[int]]) -> State:
    """`order`: see `piles`."""
    view = normalise(f"{shown.inventory} {shown.description}")
    # The facts are the whole logical state, of rooms out of sight too, but for the order in which the game
    # lists things. The policy reads that, now or on coming back, so the key tells it apart as well.
    content = repr([view, sorted(map(str, shown.facts)), order, bool(shown.won)])
    commands = [each for each in shown.admissible_commands if not retold(each)]
    return State(
        key=hashlib.sha256(content.encode()).hexdigest()[:16],
        view=view,
        actions={normalise(each): each for each in commands},
        won=bool(shown.won),
    )
