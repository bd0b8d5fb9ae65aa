"""Games as episodes see them: places that lead to other places, each played once and then remembered."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from envs.engines.engine import Scene

MEMORY_LIMIT = 200_000
"""Places that a game remembers; it forgets all of them and begins anew when there are more."""
Play = Callable[[str, Sequence[str]], Scene]


@dataclass(frozen=True, eq=False)
class Place:
    """A position in a game."""

    scene: Scene
    history: tuple[str, ...]
    """Commands that lead here from the start."""
    after: dict[str, "Place"] = field(default_factory=dict, repr=False)
    """The places that were seen after it, by the command that leads there."""


class Game:
    """A deterministic game and the memory of what it answered.

    Rollouts of a task share beginnings, and a policy that has settled plays the same ways again and again. An
    engine takes milliseconds for a step, the memory less than one microsecond. `markov`: see `Engine`.
    """

    def __init__(self, name: str, play: Play, markov: bool) -> None:
        self.name = name
        self._play, self._markov = play, markov
        self._start: Place | None = None
        self._alike: dict[str, dict[str, Place]] = {}
        """By a state's key, what comes after it."""
        self._count = 0
        self.played = 0
        """Steps that were not remembered."""

    def start(self) -> Place:
        """The beginning."""
        if self._start is None:
            self._start = self._place(self._play(self.name, ()), ())
        return self._start

    def follow(self, place: Place, command: str) -> Place:
        """Where a command leads from a place."""
        known = place.after.get(command)
        if known is not None:
            return known
        history = (*place.history, command)
        scene = self._play(self.name, history)
        self.played += 1
        return place.after.setdefault(command, self._place(scene, history))

    def _place(self, scene: Scene, history: tuple[str, ...]) -> Place:
        self._count += 1
        if self._count > MEMORY_LIMIT:
            self._start, self._count = None, 0
            self._alike.clear()
        if self._markov:
            return Place(scene, history, self._alike.setdefault(scene.key, {}))
        return Place(scene, history)
