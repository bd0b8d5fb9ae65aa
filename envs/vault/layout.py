"""Vault layouts: rooms on a random tree, where the key, the locked door and the coin are."""

import random
from collections import deque
from dataclasses import dataclass

ROOMS = ("hall", "kitchen", "study", "cellar", "attic", "garden", "garage", "library", "pantry")
DISTRACTORS = ("lamp", "book", "rope", "vase")
OFFSETS = {"north": (0, -1), "south": (0, 1), "east": (1, 0), "west": (-1, 0)}
DIRECTIONS = tuple(OFFSETS)
OPPOSITE = {"north": "south", "south": "north", "east": "west", "west": "east"}
GRID = 3


@dataclass(frozen=True)
class Layout:
    """One vault. Rooms are numbered in the order they were dug; the episode starts in room 0."""

    names: tuple[str, ...]
    exits: tuple[dict[str, int], ...]
    """For each room, direction -> neighbouring room."""
    coin: int
    """A leaf of the tree; the door, if any, stands on its only passage."""
    door: tuple[int, str] | None
    """(room, direction) where the locked door is seen, or None."""
    key: int | None
    items: tuple[str | None, ...]
    """For each room, the distractor that lies there."""

    def shortest(self) -> int:
        """Steps of the shortest solution, by breadth-first search over (room, key held, door open)."""
        start = (0, self.key is None, self.door is None)
        distance = {start: 0}
        queue = deque([start])
        while queue:
            state = queue.popleft()
            room, held, opened = state
            if room == self.coin:
                return distance[state] + 1
            following = [
                (there, held, opened)
                for direction, there in self.exits[room].items()
                if opened or (room, direction) != self.door
            ]
            if room == self.key:
                following.append((room, True, opened))
            if held and self.door is not None and room == self.door[0]:
                following.append((room, held, True))
            for after in following:
                if after not in distance:
                    distance[after] = distance[state] + 1
                    queue.append(after)
        raise AssertionError("a vault is a tree, so every room can be reached")


def dig(seed: int, rooms: int, key: bool, distractors: int) -> Layout:
    """Draw a layout. Equal arguments give equal layouts on every machine."""
    draw = random.Random(f"vault/{seed}")
    names = tuple(draw.sample(ROOMS, rooms))
    cells = [(draw.randrange(GRID), draw.randrange(GRID))]
    exits: list[dict[str, int]] = [{}]
    while len(cells) < rooms:
        room, direction = draw.randrange(len(cells)), draw.choice(DIRECTIONS)
        x, y = cells[room][0] + OFFSETS[direction][0], cells[room][1] + OFFSETS[direction][1]
        if (x, y) in cells or not (0 <= x < GRID and 0 <= y < GRID):
            continue
        exits[room][direction] = len(cells)
        exits.append({OPPOSITE[direction]: room})
        cells.append((x, y))
    coin = draw.choice([room for room in range(1, rooms) if len(exits[room]) == 1])
    ((back, parent),) = exits[coin].items()
    key_room = draw.choice([room for room in range(rooms) if room != coin]) if key else None
    free = [room for room in range(rooms) if room not in (coin, key_room)]
    items: list[str | None] = [None] * rooms
    for room, item in zip(draw.sample(free, distractors), DISTRACTORS, strict=False):
        items[room] = item
    return Layout(
        names=names,
        exits=tuple(exits),
        coin=coin,
        door=(parent, OPPOSITE[back]) if key else None,
        key=key_room,
        items=tuple(items),
    )
