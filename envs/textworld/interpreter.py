"""One game in TextWorld's interpreter, which goes on from any position that it was in before."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.textworld.games import library
from envs.textworld.zmachine import movable, piles


@dataclass(frozen=True, eq=False)
class Position:
    """All that a game goes on from."""

    memory: bytes
    stack: bytes
    registers: tuple[Any, ...]
    """The Z-machine's state, as jericho has it. Memory and stack are packed, to a fiftieth."""
    facts: Any
    actions: Any
    """TextWorld's account of what is true and what is possible."""


@dataclass(frozen=True)
class Seen:
    """What a game shows, and its position then."""

    shown: Any
    """TextWorld's `GameState`."""
    order: list[list[int]]
    """See `piles`."""
    position: Position


class Interpreter:
    """A running game.

    To put back what its parts know takes 0.1 ms, and a command 3 ms. TextWorld offers a beginning (13 ms) and
    a copy, which starts another interpreter (68 ms), so this uses attributes of it that are not public.
    """

    def __init__(self, path: Path) -> None:
        textworld = library()
        infos = textworld.EnvInfos(
            description=True, inventory=True, admissible_commands=True, facts=True, won=True
        )
        self._game = textworld.start(str(path), infos)
        self._machine = self._game.unwrapped._jericho
        self._things = movable(path.read_bytes())
        shown = self._game.reset()
        self._progress = self._game._game_progression
        self._memory, self._stack, *_ = self._machine.get_state()
        self.start = self._seen(shown)
        """What the game shows before the first command."""

    def play(self, position: Position, command: str) -> Seen:
        """What the game shows after a command that is admissible in the position."""
        memory, stack = _unpacked(position.memory, self._memory), _unpacked(position.stack, self._stack)
        self._machine.set_state((memory, stack, *position.registers))
        self._progress.state, self._progress._valid_actions = position.facts.copy(), position.actions
        shown, _, _ = self._game.step(command)
        return self._seen(shown)

    def _seen(self, shown: Any) -> Seen:
        memory, stack, *registers = self._machine.get_state()
        position = Position(
            memory=_packed(memory, self._memory),
            stack=_packed(stack, self._stack),
            registers=tuple(registers),
            facts=self._progress.state.copy(),
            actions=self._progress.valid_actions,
        )
        order = piles(memory.tobytes(), self._things)  # bytes are read faster than an array, one by one
        return Seen(shown, order, position)


def _packed(now: NDArray[np.uint8], start: NDArray[np.uint8]) -> bytes:
    """What has changed since the start, which is little."""
    return zlib.compress((now ^ start).tobytes(), level=1)


def _unpacked(packed: bytes, start: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.frombuffer(zlib.decompress(packed), np.uint8) ^ start
