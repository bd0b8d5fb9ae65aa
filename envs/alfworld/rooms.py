"""Games in ALFWorld's format, made from what its package ships.

The rooms are AI2-THOR's: receptacles with their places, and the kinds of objects that a room holds. Tasks,
rules and words are ALFRED's and ALFWorld's. Where the objects lie is drawn here, which is why results on
these games are no results on ALFWorld's.
"""

import functools
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

APPLIANCES = {
    "pick_clean_then_place_in_recep": ("Cleanable", "SinkBasin"),
    "pick_heat_then_place_in_recep": ("Heatable", "Microwave"),
    "pick_cool_then_place_in_recep": ("Coolable", "Fridge"),
}
"""By task type, what an object must be, and where it is made so."""
LAMPS = ("DeskLamp", "FloorLamp")
TABLES = ("CoffeeTable", "Desk", "DiningTable", "Dresser", "Shelf", "SideTable")
"""Where lamps stand."""
CROCKERY = ("Bowl", "Cup", "Mug", "Pan", "Plate", "Pot")
"""Receptacles that are objects; nothing is put into them here."""
MANGLED = (("-", "_minus_"), ("#", "-"), ("|", "_bar_"), ("+", "_plus_"), (".", "_dot_"), (",", "_comma_"))
"""How ALFWorld writes names in PDDL; `#` stands for PDDL's own hyphen."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a game is made from, versions aside."""

    kind: str
    """The task type."""
    receptacles: int
    """Receptacles of the room, if it has so many."""
    objects: int
    """Objects that the task does not need, if there is room."""
    seed: int


@dataclass(frozen=True)
class Room:
    """A floor plan: its receptacles, and the kinds of objects that belong there."""

    receptacles: Mapping[str, Sequence[float]]
    """By AI2-THOR's name, where one stands before it: x, z, rotation, angle of view."""
    objects: tuple[str, ...]
    lamps: tuple[str, ...]

    @property
    def kinds(self) -> list[str]:
        """The kinds of its receptacles."""
        return sorted({receptacle_kind(each) for each in self.receptacles})


@dataclass(frozen=True)
class Errand:
    """What is to be done in a room: a kind of object, and the receptacle or lamp that it goes with."""

    target: str
    parent: str
    lamp: str
    appliance: str


@dataclass(frozen=True)
class Design:
    """A game: its goal in words, and its problem in PDDL."""

    goal: str
    problem: str


@functools.cache
def constants() -> Any:
    """ALFRED's tables of what holds what."""
    import alfworld.gen.constants

    return alfworld.gen.constants


@functools.cache
def tasks() -> Any:
    """ALFRED's goals in PDDL and in words, by task type."""
    import alfworld.gen.goal_library

    return alfworld.gen.goal_library.gdict


@functools.cache
def rooms() -> tuple[Room, ...]:
    """The rooms that the package ships, in the order of their numbers."""
    import alfworld

    folder = Path(alfworld.__path__[0]) / "gen" / "layouts"
    paths = folder.glob("FloorPlan*-openable.json")
    numbers = sorted(int(path.name.removeprefix("FloorPlan").split("-")[0]) for path in paths)
    return tuple(room(folder, number) for number in numbers)


def room(folder: Path, number: int) -> Room:
    """One floor plan."""
    objects = json.loads((folder / f"FloorPlan{number}-objects.json").read_text())
    standing = json.loads((folder / f"FloorPlan{number}-openable.json").read_text())
    holds = constants().VAL_RECEPTACLE_OBJECTS
    receptacles = {name: standing[name] for name in sorted(standing) if receptacle_kind(name) in holds}
    kinds = {receptacle_kind(each) for each in receptacles}
    fitting = [
        each
        for each in sorted(set(objects))
        if (each in constants().OBJECTS_SET and each not in holds) or each in CROCKERY
        if any(each in holds[kind] for kind in kinds)
    ]
    lamps = tuple(each for each in LAMPS if each in objects)
    return Room(receptacles, tuple(each for each in fitting if each not in LAMPS), lamps)


def receptacle_kind(name: str) -> str:
    """`Sink|+01.2|…|SinkBasin` is a SinkBasin."""
    kind = name.split("|")[0]
    return f"{kind}Basin" if "Basin" in name and not kind.endswith("Basin") else kind


def design(recipe: Recipe) -> Design | None:
    """The game of a recipe; None if the room that it draws has no such task."""
    draw = random.Random(f"alfworld/{recipe.kind}/{recipe.seed}")
    place = draw.choice(rooms())
    errand = choose_errand(place, recipe.kind, draw)
    chosen = choose_receptacles(place, errand, recipe.receptacles, draw) if errand else None
    if errand is None or chosen is None:
        return None
    lies = place_objects(place, errand, chosen, recipe, draw)
    if lies is None:
        return None
    fill = {"obj": errand.target, "recep": errand.parent, "toggle": errand.lamp, "mrecep": ""}
    told = {name: word.lower() for name, word in fill.items()}
    goal = draw.choice(tasks()[recipe.kind]["templates"]).format(**told)
    return Design(
        goal, problem(place, chosen, lies, draw) + mangled(tasks()[recipe.kind]["pddl"].format(**fill))
    )


def choose_errand(place: Room, kind: str, draw: random.Random) -> Errand | None:
    """An object that may lie in two kinds of receptacles of the room, one of which it is put into."""
    holds, actions = constants().VAL_RECEPTACLE_OBJECTS, constants().VAL_ACTION_OBJECTS
    makes, appliance = APPLIANCES.get(kind, ("", ""))
    needs_lamp = kind == "look_at_obj_in_light"
    lamps = place.lamps if needs_lamp else ("",)
    homes = {
        each: [where for where in place.kinds if each in holds[where]]
        for each in place.objects
        if not makes or each in actions[makes]
    }
    targets = [each for each, where in homes.items() if len(set(where) - {appliance}) >= 2]
    if not targets or not lamps or (appliance and appliance not in place.kinds):
        return None
    target = draw.choice(targets)
    parent = draw.choice([where for where in homes[target] if where != appliance])
    return Errand(target, "" if needs_lamp else parent, draw.choice(lamps), appliance)


def choose_receptacles(place: Room, errand: Errand, count: int, draw: random.Random) -> list[str] | None:
    """What the errand needs, a place where its object lies, a table for the lamp, and others."""
    holds = constants().VAL_RECEPTACLE_OBJECTS
    order = list(place.receptacles)
    draw.shuffle(order)
    kinds = {each: receptacle_kind(each) for each in order}
    source = [kind for kind in place.kinds if errand.target in holds[kind] and kind != errand.parent]
    wanted = [[errand.parent], [errand.appliance], source, list(TABLES) if errand.lamp else []]
    chosen: list[str] = []
    for group in wanted:
        if any(group):
            found = next((each for each in order if kinds[each] in group and each not in chosen), None)
            if found is None:
                return None
            chosen.append(found)
    others = [each for each in order if each not in chosen]
    return sorted(chosen + others[: max(0, count - len(chosen))])


def place_objects(
    place: Room, errand: Errand, chosen: Sequence[str], recipe: Recipe, draw: random.Random
) -> dict[str, str] | None:
    """Where objects lie, by their names; None if the errand's own have no place but where they belong."""
    holds = constants().VAL_RECEPTACLE_OBJECTS
    lies: dict[str, str] = {}

    def put(kind: str, places: Sequence[str]) -> bool:
        if places:
            lies[object_name(kind, draw)] = draw.choice(places)
        return bool(places)

    def homes(kind: str) -> list[str]:
        return [each for each in chosen if kind in holds[receptacle_kind(each)]]

    elsewhere = [each for each in homes(errand.target) if receptacle_kind(each) != errand.parent]
    for _ in range(2 if recipe.kind == "pick_two_obj_and_place" else 1):
        if not put(errand.target, elsewhere):
            return None
    if errand.lamp and not put(errand.lamp, [each for each in chosen if receptacle_kind(each) in TABLES]):
        return None
    fillers = [each for each in place.objects if each != errand.target]
    for filler in draw.sample(fillers, min(recipe.objects, len(fillers))):
        put(filler, homes(filler))
    return lies


def object_name(kind: str, draw: random.Random) -> str:
    """A name as AI2-THOR gives them, with a position."""
    x, y, z = draw.uniform(-3, 3), draw.uniform(0.1, 2), draw.uniform(-3, 3)
    return f"{kind}|{x:+06.2f}|{y:+06.2f}|{z:+06.2f}"


def problem(place: Room, chosen: Sequence[str], lies: Mapping[str, str], draw: random.Random) -> str:
    """The PDDL problem up to its goal."""
    at = {each: location(place.receptacles[each]) for each in chosen}
    start = f"loc|{draw.randint(-9, 9)}|{draw.randint(-9, 9)}|0|start"
    object_kinds = sorted({each.split("|")[0] for each in lies})
    kinds = sorted({receptacle_kind(each) for each in chosen})
    holds = constants().VAL_RECEPTACLE_OBJECTS
    things = ["agent1 # agent", *(f"{each}Type # otype" for each in object_kinds)]
    things += [f"{each}Type # rtype" for each in kinds]
    things += [f"{each} # object" for each in sorted(lies)] + [f"{each} # receptacle" for each in chosen]
    things += [f"{each} # location" for each in sorted({*at.values(), start})]
    facts = [fact for each in chosen for fact in receptacle_facts(each, at[each])]
    facts += [f"canContain {a}Type {b}Type" for a in kinds for b in object_kinds if b in holds[a]]
    facts += [fact for each in sorted(lies) for fact in object_facts(each, lies[each], at[lies[each]])]
    facts.append(f"atLocation agent1 {start}")
    lines = ["(define (problem generated)", "  (:domain alfred)", "  (:objects"]
    lines += [f"    {each}" for each in things] + ["  )", "  (:init"]
    return mangled("\n".join([*lines, *(f"    ({fact})" for fact in facts), "  )"]))


def location(stand: Sequence[float]) -> str:
    """The name of the place before a receptacle, in ALFRED's units."""
    x, z, rotation, view = stand
    return f"loc|{round(x * 4)}|{round(z * 4)}|{round(rotation / 90) % 4}|{round(view)}"


def receptacle_facts(name: str, where: str) -> list[str]:
    """What holds of a receptacle at first."""
    kind = receptacle_kind(name)
    openable = [f"openable {name}"] if kind in constants().OPENABLE_CLASS_SET else []
    return [f"receptacleType {name} {kind}Type", *openable, f"receptacleAtLocation {name} {where}"]


def object_facts(name: str, inside: str, where: str) -> list[str]:
    """What holds of an object at first."""
    kind = name.split("|")[0]
    movable = [] if kind in LAMPS else [f"pickupable {name}"]
    can = [
        f"{able.lower()} {name}" for able, kinds in constants().VAL_ACTION_OBJECTS.items() if kind in kinds
    ]
    lies = [f"inReceptacle {name} {inside}", f"objectAtLocation {name} {where}"]
    return [f"objectType {name} {kind}Type", *movable, *sorted(can), *lies]


def mangled(text: str) -> str:
    """Names as ALFWorld writes them in PDDL."""
    for sign, word in MANGLED:
        text = text.replace(sign, word)
    return text
