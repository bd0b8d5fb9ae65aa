"""Running games of one engine class, and which of them goes on when a position is asked for."""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from envs.engines.engine import Engine, Scene


class Dice:
    """An engine's own state of the global random generators, which many packages draw from."""

    def __init__(self, name: str) -> None:
        seed = zlib.crc32(name.encode())
        self._state = random.Random(seed).getstate()
        self._numpy_state = np.random.RandomState(seed).get_state()

    def __enter__(self) -> None:
        self._outside = random.getstate(), np.random.get_state()
        random.setstate(self._state)
        np.random.set_state(self._numpy_state)

    def __exit__(self, *_: object) -> None:
        self._state, self._numpy_state = random.getstate(), np.random.get_state()
        random.setstate(self._outside[0])
        np.random.set_state(self._outside[1])


@dataclass(eq=False)
class Running:
    """A game in play."""

    engine: Engine
    dice: Dice
    played: tuple[str, ...]
    scene: Scene


class Stage:
    """Plays any number of games with at most `room` engines.

    A position is a game and the commands so far. It is reached from the running game that has come furthest
    on the way to it; without one, by a game that begins anew in place of the one used longest ago.
    """

    def __init__(self, engine: type[Engine], room: int) -> None:
        self._make, self._room = engine, room
        self._running: list[Running] = []
        """The one used longest ago comes first."""

    def scene(self, game: str, commands: Sequence[str]) -> Scene:
        """What the game shows after the commands. A game that raises is closed."""
        wanted = tuple(commands)
        running = self._nearest(game, wanted) or self._begin(game)
        try:
            with running.dice:
                for command in wanted[len(running.played) :]:
                    running.scene = running.engine.play(command)
        except BaseException:
            running.engine.close()
            raise
        running.played = wanted
        self._running.append(running)
        return running.scene

    def close(self) -> None:
        """End all games."""
        while self._running:
            self._running.pop().engine.close()

    def _nearest(self, game: str, wanted: tuple[str, ...]) -> Running | None:
        """The game that is on the way and furthest, taken out of the list."""
        on_the_way = [
            running
            for running in self._running
            if running.engine.game == game and wanted[: len(running.played)] == running.played
        ]
        if not on_the_way:
            return None
        nearest = max(on_the_way, key=lambda running: len(running.played))
        self._running.remove(nearest)
        return nearest

    def _begin(self, game: str) -> Running:
        """The game at its start; an engine that has it loaded already begins again."""
        engine = None
        if len(self._running) >= self._room:
            oldest = self._running.pop(0).engine
            if oldest.game == game:
                engine = oldest
            else:
                oldest.close()
        dice = Dice(game)
        with dice:
            engine = engine or self._make(game)
            return Running(engine, dice, (), engine.start())
