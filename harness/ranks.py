"""The processes ("ranks") that run one cell together, each with a device of its own.

All of them do the same things in the same order; costly work is divided, and what each found is gathered.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed

Found = TypeVar("Found")
WAIT = timedelta(hours=1)
"""Time-out of a collective call: a rank that keeps others waiting this long is considered hung. A rank that
*exits* is noticed immediately (see `peers`)."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run; by default it is alone, and nothing waits or is sent."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the store, and decides what a clock or a signal has a part in."""
        return self.rank == 0

    def owns(self, group: int) -> bool:
        """Whether this rank plays the episodes of this group."""
        return group % self.size == self.rank

    def share(self, weights: Sequence[int]) -> slice:
        """Which of some things in a row are this rank's: neighbours, all ranks' about equal in weight."""
        weight_N = np.array(weights, dtype=np.float64)
        middle_N = weight_N.cumsum() - weight_N / 2
        bounds = np.searchsorted(middle_N, weight_N.sum() * np.arange(self.size + 1) / self.size)
        return slice(int(bounds[self.rank]), int(bounds[self.rank + 1]))

    def gathered(self, mine: Found) -> list[Found]:
        """Every rank's value, in rank order. Collective, like all methods below: each rank must call it."""
        if self.size == 1:
            return [mine]
        found: list[Found] = [mine] * self.size
        distributed.all_gather_object(found, mine)
        return found

    def from_first(self, mine: Found) -> Found:
        """What the first rank has."""
        return self.gathered(mine)[0]

    def once(self, find: Callable[[], Found]) -> Found:
        """What `find` gives, called on the first rank alone."""
        return cast(Found, self.gathered(find() if self.first else None)[0])

    def joined(self, parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Every rank's numbers, end to end."""
        return np.concatenate(self.gathered(np.concatenate([np.empty(0), *parts])))

    def summed(self, mine: Mapping[str, float]) -> dict[str, float]:
        """Sums over the ranks, by name."""
        total: dict[str, float] = {}
        for found in self.gathered(mine):
            for name, value in found.items():
                total[name] = total.get(name, 0) + value
        return total


ALONE = Ranks()


def join(ranks: Ranks, meeting: Path, device: torch.device) -> None:
    """Meet the other ranks by the file `meeting`, which nobody has made before, and take a device.

    NCCL carries the tensors of CUDA devices, gloo all else.
    """
    backend = "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(ranks.rank)
        backend = "cpu:gloo,cuda:nccl"
    distributed.init_process_group(
        backend, f"file://{meeting}", rank=ranks.rank, world_size=ranks.size, timeout=WAIT
    )
