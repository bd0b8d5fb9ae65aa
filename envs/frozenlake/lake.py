"""Frozen lakes: where the holes are, and where a step on the ice can lead (Gymnasium's `FrozenLake-v1`)."""

import functools
import random
from collections import deque
from dataclasses import dataclass

Cell = tuple[int, int]
"""(row, column), from the upper left."""
MOVES = {"left": (0, -1), "down": (1, 0), "right": (0, 1), "up": (-1, 0)}
ACTIONS = tuple(MOVES)
"""In Gymnasium's order, in which the neighbours of a direction are perpendicular to it."""


@dataclass(frozen=True)
class Lake:
    """A square of ice with holes."""

    size: int
    """Rows and columns."""
    holes: frozenset[Cell]
    start: Cell
    goal: Cell

    def beside(self, cell: Cell, way: str) -> Cell:
        """The next cell in a direction; at the border, the cell itself."""
        down, right = MOVES[way]
        row, column = cell[0] + down, cell[1] + right
        return (row, column) if 0 <= row < self.size and 0 <= column < self.size else cell

    def outcomes(self, cell: Cell, action: str, success_rate: float) -> list[tuple[float, Cell]]:
        """(probability, cell) of where an action can lead: to each side as often as to the other."""
        number, sideways = ACTIONS.index(action), (1 - success_rate) / 2
        turns = ((-1, sideways), (0, success_rate), (1, sideways))
        return [(chance, self.beside(cell, ACTIONS[(number + turn) % 4])) for turn, chance in turns]

    def shortest(self) -> tuple[str, ...] | None:
        """A shortest way over the ice, by breadth-first search; None if there is none."""
        ways: dict[Cell, tuple[str, ...]] = {self.start: ()}
        queue = deque([self.start])
        while queue:
            cell = queue.popleft()
            if cell == self.goal:
                return ways[cell]
            for action in ACTIONS:
                there = self.beside(cell, action)
                if there not in self.holes and there not in ways:
                    ways[there] = (*ways[cell], action)
                    queue.append(there)
        return None


@functools.cache
def freeze(seed: int, size: int, holes: float, corners: bool) -> Lake:
    """Draw a lake, which may have no way to the goal. Equal arguments give equal lakes on every machine."""
    draw = random.Random(f"frozenlake/{seed}")
    cells = [(row, column) for row in range(size) for column in range(size)]
    start, goal = (cells[0], cells[-1]) if corners else draw.sample(cells, 2)
    sunk = [cell for cell in cells if draw.random() < holes]
    return Lake(size, frozenset(sunk) - {start, goal}, start, goal)
