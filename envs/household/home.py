"""Homes: which furniture and objects there are, where the objects lie, and the task set in them."""

import random
from dataclasses import dataclass

PLACES = ("shelf", "drawer", "desk", "cabinet", "table", "fridge", "bench", "box")
CLOSABLE = frozenset({"drawer", "cabinet", "fridge", "box"})
OBJECTS = ("mug", "apple", "plate", "book", "egg", "pen")
APPLIANCES = {"clean": "sink", "heat": "stove", "cool": "freezer"}
CONDITIONS = {"clean": "clean", "heat": "hot", "cool": "cold"}
KINDS = ("put", *APPLIANCES)


@dataclass(frozen=True)
class Home:
    """One home and its task: bring `target`, in `condition`, to `destination`."""

    places: tuple[str, ...]
    """Where objects can lie."""
    appliances: tuple[str, ...]
    """Where what is held can be treated: there is one if the task needs it."""
    start: tuple[tuple[str, str], ...]
    """Each object and its place at the start."""
    target: str
    condition: str
    """`clean`, `hot`, `cold`, or nothing if any condition will do."""
    destination: str

    def goal(self) -> str:
        """What the policy is told."""
        thing = f"{self.condition} {self.target}".strip()
        article = "an" if thing[0] in "aeiou" else "a"
        preposition = "in" if self.destination in CLOSABLE else "on"
        return f"put {article} {thing} {preposition} {self.destination}"


def furnish(seed: int, places: int, objects: int, kinds: tuple[str, ...], alike: bool) -> Home:
    """Draw a home whose task is still to be done. Equal arguments give equal homes on every machine.

    Homes that are `alike` have the first places and objects of the lists; others draw theirs.
    """
    draw = random.Random(f"household/{seed}")
    here = PLACES[:places] if alike else tuple(draw.sample(PLACES, places))
    things = OBJECTS[:objects] if alike else tuple(draw.sample(OBJECTS, objects))
    start = {thing: draw.choice(here) for thing in things}
    kind, target = draw.choice(kinds), draw.choice(things)
    condition = CONDITIONS.get(kind, "")
    # Nothing is clean, hot or cold at the start, so only a plain task could be done already.
    free = [place for place in here if condition or place != start[target]]
    return Home(
        places=here,
        appliances=(APPLIANCES[kind],) if kind in APPLIANCES else (),
        start=tuple(start.items()),
        target=target,
        condition=condition,
        destination=draw.choice(free),
    )
