"""`env=household`: find an object, treat it if asked to, and bring it where it belongs.

Shaped like ALFWorld (go, open, take, clean, heat, cool, put), in pure Python. What closed furniture holds is
unknown until it is opened; everything else that matters is in the observation.
"""

from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Self

from envs.base import ClosedVocabulary, Environment, Info, Task, Transition
from envs.drawn import DrawnSpec
from envs.household.home import APPLIANCES, CLOSABLE, CONDITIONS, KINDS, OBJECTS, PLACES, Home, furnish
from harness.errors import UserError

NOTHING = "-"
UNKNOWN = "?"
INVALID = "nothing happens"
DOOR = "door"
"""Where an episode starts; one can't go back there."""


@dataclass(frozen=True)
class HouseholdSpec(ClosedVocabulary, DrawnSpec):
    """The household and its dials."""

    name: ClassVar[str] = "household"
    version: ClassVar[str] = "1"
    more_tasks: ClassVar[str] = "raise env.places or env.objects, or set env.alike=false"

    max_prompt_tokens: int = 64
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""
    places: int = 3
    """Pieces of furniture, 2 to 8."""
    objects: int = 2
    """Objects in the home, 1 to 6; one of them is the one to bring."""
    kinds: tuple[str, ...] = ("put", "clean")
    """Kinds of task, of `put`, `clean`, `heat`, `cool`."""
    alike: bool = True
    """Whether all homes have the same furniture and objects; where things lie and the task always differ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "kinds", tuple(self.kinds))  # a list in YAML
        for name, least, most in (("places", 2, len(PLACES)), ("objects", 1, len(OBJECTS))):
            if not least <= getattr(self, name) <= most:
                raise UserError(f"env.{name}={getattr(self, name)} must be {least} to {most}")
        if not self.kinds or not set(self.kinds) <= set(KINDS) or len(set(self.kinds)) < len(self.kinds):
            raise UserError(f"env.kinds={list(self.kinds)} must name some of {', '.join(KINDS)}, each once")
        # The longest task: go, open, take, go, treat, go, open, put.
        longest = 6 if set(self.kinds) == {"put"} else 8
        if self.horizon < longest:
            raise UserError(f"env.horizon={self.horizon} is too short for every task: raise it to {longest}")

    def make(self) -> "Household":
        return Household(self)

    def identity(self, seed: int) -> Home:
        return self.home(seed)

    def goal(self, seed: int) -> str:
        return self.home(seed).goal()

    def home(self, seed: int) -> Home:
        """The home of a task with this seed."""
        return furnish(seed, self.places, self.objects, self.kinds, self.alike)

    def vocabulary(self) -> list[str]:
        words = ["put", "a", "an", "in", "on", "places", "at", DOOR, "open", "closed", "see", "hold", ","]
        words += [NOTHING, UNKNOWN, *INVALID.split(), ".", "go", "take"]
        for kind in CONDITIONS:
            words += [kind, APPLIANCES[kind], CONDITIONS[kind]] if kind in self.kinds else []
        words += PLACES[: self.places] + OBJECTS[: self.objects] if self.alike else PLACES + OBJECTS
        return list(dict.fromkeys(words))


class Household(Environment):
    """One household episode."""

    def __init__(self, spec: HouseholdSpec) -> None:
        self.spec = spec

    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        self.home = self.spec.home(task.seed)
        self.at = DOOR
        self.held: str | None = None
        self.opened: frozenset[str] = frozenset()
        self.lies = dict(self.home.start)
        self.condition = dict.fromkeys(self.lies, "")
        self.steps = 0
        return self._observation(), Info(self.state_key, self._admissible())

    def step(self, action: str) -> Transition:
        valid = action in self._admissible()
        self.steps += 1
        if valid:
            self._apply(*action.split())
        success = self._done()
        truncated = self.steps >= self.spec.horizon and not success
        observation = self._observation() if valid else f"{INVALID} . {self._observation()}"
        info = Info(self.state_key, self._admissible(), valid, success)
        return Transition(observation, float(success), success, truncated, info)

    def copy(self) -> Self:
        # Every attribute is replaced on change, never changed in place, so a shallow copy is independent.
        return copy(self)

    def _apply(self, verb: str, noun: str) -> None:
        if verb == "go":
            self.at = noun
        elif verb == "open":
            self.opened |= {noun}
        elif verb == "take":
            self.held = noun
            self.lies = {thing: place for thing, place in self.lies.items() if thing != noun}
        elif verb == "put":
            self.held = None
            self.lies = {**self.lies, noun: self.at}
        else:
            self.condition = {**self.condition, noun: CONDITIONS[verb]}

    def _done(self) -> bool:
        home = self.home
        there = self.lies.get(home.target) == home.destination
        return there and home.condition in ("", self.condition[home.target])

    def _closed(self) -> bool:
        return self.at in CLOSABLE and self.at not in self.opened

    def _admissible(self) -> tuple[str, ...]:
        actions = [f"go {place}" for place in (*self.home.places, *self.home.appliances) if place != self.at]
        if self._closed():
            actions.append(f"open {self.at}")
        elif self.at in self.home.places and self.held:
            actions.append(f"put {self.held}")
        elif self.held:
            actions += [f"{verb} {self.held}" for verb, place in APPLIANCES.items() if place == self.at]
        else:
            actions += [f"take {thing}" for thing in self._here()]
        return tuple(actions)

    def _here(self) -> list[str]:
        return [thing for thing, _ in self.home.start if self.lies.get(thing) == self.at]

    def _observation(self) -> str:
        state = NOTHING
        if self.at in CLOSABLE:
            state = "closed" if self._closed() else "open"
        seen = UNKNOWN if self._closed() else " , ".join(map(self._named, self._here())) or NOTHING
        held = self._named(self.held) if self.held else NOTHING
        places = " ".join((*self.home.places, *self.home.appliances))
        return f"places {places} at {self.at} {state} see {seen} hold {held}"

    def _named(self, thing: str) -> str:
        return f"{self.condition[thing]} {thing}".strip()

    @property
    def state_key(self) -> str:
        things = [f"{self._named(thing)} {self.lies.get(thing, 'held')}" for thing, _ in self.home.start]
        return "/".join((self.at, "+".join(sorted(self.opened)), *things))
