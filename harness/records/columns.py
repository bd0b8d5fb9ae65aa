"""What is said of a column that credit may read beyond rewards: a field of `Batch` carries it as metadata.

The table is `harness.records.batch.COLUMNS`. How a column is filled that playing leaves empty, and what that
costs, says `harness/policy/columns.py`.
"""

from dataclasses import dataclass
from enum import Enum

METADATA = "column"


class Moment(Enum):
    """Whether it matters when a column is asked for."""

    any = "any"
    """No: it is known from play, or comes from a model that waits for the update."""
    present = "present"
    """It is the present policy's. A rollout that was played ahead is an older one's, so both are refused."""
    previous = "previous"
    """It is that of the policy before the last iteration's updates, which is kept for it, in checkpoints too.
    Only `select_branches` may read it, and files don't have it."""


@dataclass(frozen=True)
class Column:
    """A column of the batch: (T,) one number per token or (S,) one per step, as its name's suffix says."""

    key: str | None
    """The key of a step in trajectory files that fills it; None: files have none."""
    moment: Moment = Moment.any
    exact: bool = False
    """Whether it exists only if an environment's situations can all be listed."""
    text: bool = False
    """Whether a file gives it as strings."""


def per_token(name: str) -> bool:
    """Whether a column has one number per token, (T,); else one per step, (S,)."""
    return name.endswith("_T")


def column(
    key: str | None, *, moment: Moment = Moment.any, exact: bool = False, text: bool = False
) -> dict[str, Column]:
    """The metadata of a field of `Batch`."""
    return {METADATA: Column(key, moment, exact, text)}
