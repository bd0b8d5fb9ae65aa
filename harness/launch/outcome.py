"""How a launcher leaves a sweep's cells."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """Counts of the cells that are not done."""

    failures: int
    """Failed or lost for good, as far as this command goes."""
    alive: int = 0
    """Waiting or running: the command does not wait for them."""
    cancelled: int = 0
    """Their jobs were cancelled while the command followed them."""
