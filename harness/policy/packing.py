"""Which trajectories share a forward-backward pass."""

from collections.abc import Iterable, Iterator, Sequence

from harness.policy.prefixes import Prefixes, key_of
from harness.policy.rows import Row, rows_of
from harness.records import Trajectory


def packed(trajectories: Sequence[Trajectory], most: int) -> Iterator[list[Trajectory]]:
    """Split trajectories into consecutive parts of at most `most` tokens of rows, or of one trajectory.

    A row that is a prefix of another row in its part costs nothing. Trajectories stay whole, so that ratio
    units do, and in their order, in which those of one task are neighbours and share most.
    """
    part: list[Trajectory] = []
    extent = Extent()
    for trajectory in trajectories:
        rows = rows_of(trajectory.steps)
        extent.add(rows)
        if part and extent.tokens > most:
            yield part
            part, extent = [], Extent()
            extent.add(rows)
        part.append(trajectory)
    if part:
        yield part


class Extent:
    """How many tokens attention runs along: those of the rows that are not a prefix of another row."""

    def __init__(self) -> None:
        self.tokens = 0
        self._paths = Prefixes()
        self._lengths: list[int] = []

    def add(self, rows: Iterable[Row]) -> None:
        """Count `rows` in."""
        for prompt, response in rows:
            self._lengths.append(len(prompt) + len(response))
            superfluous = self._paths.add(key_of(prompt + response), len(self._lengths) - 1)
            self.tokens += self._lengths[-1] - sum(self._lengths[row] for row in superfluous)
