"""How long the episodes are that engines play."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """Steps of an episode, and tokens of its parts."""

    steps: int = 10
    prompt: int = 40
    """The first one."""
    observation: int = 24
    """Each later one, behind all that came before."""
    response: int = 8
    """Of every step: nothing ends one early, so all engines sample equally many."""

    @property
    def longest(self) -> int:
        """The whole transcript."""
        return self.prompt + self.steps * self.response + (self.steps - 1) * self.observation
