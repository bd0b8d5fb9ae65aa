"""What every policy's prompts offer, and what they are made of."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

Sums = Callable[[Mapping[str, float]], dict[str, float]]
"""Numbers by name to their sums over several processes."""


class Turn(NamedTuple):
    """A step that was played, as later prompts show it."""

    observation: str
    action: str
    """The response as the environment read it."""
    response_ids: tuple[int, ...] = ()
    """The response as it was sampled."""
    admissible: tuple[str, ...] = ()
    """The actions that were admissible."""


class Prompting(Protocol):
    """Builds prompts from text and reads actions from ids."""

    pad_id: int
    end_id: int
    """The token that ends a response."""
    vocabulary_size: int
    """Number of tokens that the policy chooses from."""

    def prompt(
        self, goal: str, past: Sequence[Turn], observation: str, admissible: Sequence[str] = ()
    ) -> tuple[int, ...]:
        """Ids of the prompt; `past` are all turns of the episode so far."""

    def response(self, action: str, admissible: Sequence[str] = ()) -> tuple[int, ...]:
        """Ids of an action as a policy would sample it."""

    def action(self, response_ids: Sequence[int], admissible: Sequence[str] = ()) -> str:
        """What a response says, in the words that environments read."""

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each token."""

    def take_dropped(self, summed: Sums = dict) -> dict[str, float] | None:
        """What prompts left out for want of room since the last call, by name; None where nobody counts.

        `summed` adds up what this process and others counted.
        """
