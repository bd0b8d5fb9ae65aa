"""A game as episodes see it: states, and what commands lead to, each played once and then remembered."""

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.base import normalise
from envs.textworld.games import retold
from envs.textworld.interpreter import Interpreter, Position, Seen

MEMORY_LIMIT = 10_000
"""States that a story remembers; it forgets all of them and begins anew when there are more."""
ROOM_TITLE = "-="


@dataclass(frozen=True, eq=False)
class State:
    """What there is to know of a game's state."""

    key: str
    view: str
    """What is carried, and the room's description."""
    actions: dict[str, str]
    """The admissible actions in normalised words, and the commands they stand for."""
    won: bool
    position: Position = field(repr=False)
    after: dict[str, "Frame"] = field(default_factory=dict, repr=False)
    """What was shown after commands that were given here."""


@dataclass(frozen=True)
class Frame:
    """What a game shows after a command: its reply, and the state it left."""

    reply: str
    """Empty on entering a room, where the game replies with the room's description."""
    state: State


class Story:
    """One game, shared by all episodes of this process, whatever their threads.

    The key of a state and the next command decide what a game shows. So one step of the interpreter, which
    takes thousands of times as long as a look-up, serves all the ways that lead to a state.
    """

    def __init__(self, path: Path) -> None:
        self._interpreter = Interpreter(path)
        self._playing = threading.Lock()
        self._states: dict[str, State] = {}
        self.start = self._state(self._interpreter.start)
        """The state before the first command."""

    def follow(self, state: State, command: str) -> Frame:
        """What the game shows after a command that is admissible in the state."""
        known = state.after.get(command)
        if known is None:
            with self._playing:
                known = state.after.get(command) or self._play(state, command)
        return known

    def _play(self, state: State, command: str) -> Frame:
        seen = self._interpreter.play(state.position, command)
        state.after[command] = frame = Frame(_reply(seen.shown), self._state(seen))
        return frame

    def _state(self, seen: Seen) -> State:
        """The one object for the state that the game is in."""
        if len(self._states) >= MEMORY_LIMIT:
            self._forget()
        view = normalise(f"{seen.shown.inventory} {seen.shown.description}")
        key = _key(view, seen.shown, seen.order)
        if key not in self._states:
            commands = [each for each in seen.shown.admissible_commands if not retold(each)]
            actions = {normalise(each): each for each in commands}
            self._states[key] = State(key, view, actions, bool(seen.shown.won), seen.position)
        return self._states[key]

    def _forget(self) -> None:
        for state in self._states.values():
            state.after.clear()  # so that a state which somebody holds does not hold all the others
        self._states.clear()
        self._states[self.start.key] = self.start


def _reply(shown: Any) -> str:
    reply = shown.feedback.strip().split("\n\n")[0]
    return "" if reply.startswith(ROOM_TITLE) else normalise(reply)


def _key(view: str, shown: Any, order: Sequence[Sequence[int]]) -> str:
    # The facts are the whole logical state, of rooms out of sight too, but for the order in which the game
    # lists things. The policy reads that, now or on coming back, so the key tells it apart as well.
    content = repr([view, sorted(map(str, shown.facts)), order, bool(shown.won)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]
