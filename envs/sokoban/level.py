"""Sokoban levels, made by playing backwards from solved positions, so that each has a solution."""

import functools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

Cell = tuple[int, int]
"""(row, column), from the upper left."""
MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
FLOOR = 0.85
"""Share of the cells inside the outer wall that are floor."""
MOST_POSITIONS = 20_000
"""Positions that are listed for one level; farther ones are not chosen from."""


class Position(NamedTuple):
    """Where the player and the boxes are."""

    player: Cell
    boxes: frozenset[Cell]


@dataclass(frozen=True)
class Room:
    """What never moves: a square of floor and walls, and the targets."""

    size: int
    """Rows and columns, the outer wall included."""
    floor: frozenset[Cell]
    targets: frozenset[Cell]

    def after(self, position: Position, move: str) -> Position:
        """Where a move leads; a wall, or a box that can't be pushed, stops it."""
        player, boxes = position
        there = shifted(player, move)
        if there not in self.floor:
            return position
        if there not in boxes:
            return Position(there, boxes)
        beyond = shifted(there, move)
        if beyond not in self.floor or beyond in boxes:
            return position
        return Position(there, boxes - {there} | {beyond})

    def before(self, position: Position) -> Iterator[tuple[str, Position]]:
        """(move, position) for all positions from which one move leads here."""
        player, boxes = position
        for move in MOVES:
            back = shifted(player, move, -1)
            if back not in self.floor or back in boxes:
                continue
            yield move, Position(back, boxes)
            pushed = shifted(player, move)
            if pushed in boxes:
                yield move, Position(back, boxes - {pushed} | {player})

    def ways(self) -> dict[Position, tuple[str, ...]]:
        """A shortest solution of every position that has one, the nearest positions first.

        Breadth-first search backwards from all solved positions; it stops at `MOST_POSITIONS`.
        """
        solved = [Position(player, self.targets) for player in sorted(self.floor - self.targets)]
        ways: dict[Position, tuple[str, ...]] = dict.fromkeys(solved, ())
        queue = solved
        for position in queue:  # grows while it is read
            for move, earlier in self.before(position):
                if earlier not in ways:
                    ways[earlier] = (move, *ways[position])
                    queue.append(earlier)
            if len(ways) >= MOST_POSITIONS:
                break
        return ways


@dataclass(frozen=True)
class Level:
    """One level: where it starts, and a shortest solution."""

    room: Room
    start: Position
    solution: tuple[str, ...]


def shifted(cell: Cell, move: str, steps: int = 1) -> Cell:
    """The cell so many steps away in the direction of a move."""
    down, right = MOVES[move]
    return cell[0] + steps * down, cell[1] + steps * right


@functools.cache
def make_level(seed: int, size: int, boxes: int, least: int, most: int) -> Level | None:
    """Draw a level whose shortest solution has `least` to `most` moves; None if this seed's room has none.

    Equal arguments give equal levels on every machine.
    """
    draw = random.Random(f"sokoban/{seed}")
    floor = carve(draw, size)
    room = Room(size, floor, frozenset(draw.sample(sorted(floor), boxes)))
    ways = [(start, way) for start, way in room.ways().items() if least <= len(way) <= most]
    if not ways:
        return None
    return Level(room, *draw.choice(ways))


def carve(draw: random.Random, size: int) -> frozenset[Cell]:
    """Floor in one piece: where a random walk inside the outer wall has been."""
    inside = range(1, size - 1)
    cell = draw.choice(inside), draw.choice(inside)
    floor = {cell}
    while len(floor) < FLOOR * len(inside) ** 2:
        there = shifted(cell, draw.choice(tuple(MOVES)))
        if there[0] in inside and there[1] in inside:
            cell = there
            floor.add(cell)
    return frozenset(floor)
