"""Roads: which steps are forks, where each choice leads, and what is seen on the way."""

import random
from dataclasses import dataclass

WAYS = ("left", "right", "ahead", "back")
"""The choices, the same words at every step."""
FORKS = ("bridge", "mill", "tower", "well", "barn", "chapel")
"""What stands at forks: there the choice matters. The names do not say so; that is what there is to learn."""
SIGHTS = ("oak", "pond", "rock", "fence", "hedge", "stump")
"""What stands where no choice matters."""


@dataclass(frozen=True)
class Road:
    """One task's road: at each place the choices are the same words, and at forks one of them is right."""

    places: tuple[tuple[str, ...], ...]
    """For each place, what is seen there after each choice at the place before; at forks always the same."""

    def is_fork(self, place: int) -> bool:
        """Whether the choice at this place matters."""
        return self.places[place][0] in FORKS

    def right(self, place: int) -> str:
        """The right way at a fork. It goes by what stands there alone, the same in all tasks."""
        return WAYS[FORKS.index(self.places[place][0]) % len(self.places[place])]

    def forks(self) -> tuple[int, ...]:
        """The numbers of the forks' places."""
        return tuple(place for place in range(len(self.places)) if self.is_fork(place))


def build(seed: int, pivots: int, options: int, gap: int, delay: int) -> Road:
    """Draw a road: `pivots` times `gap` plain places and a fork, then `delay` plain places.

    Equal arguments give equal roads on every machine.
    """
    draw = random.Random(f"fork/{seed}")
    places: list[tuple[str, ...]] = []
    for _ in range(pivots):
        places += [tuple(draw.sample(SIGHTS, options)) for _ in range(gap)]
        places.append((draw.choice(FORKS),) * options)
    places += [tuple(draw.sample(SIGHTS, options)) for _ in range(delay)]
    return Road(tuple(places))
