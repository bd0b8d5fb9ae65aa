"""What every policy's prompts offer, and what they are made of."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from harness.records import StopReason

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


class Reading(NamedTuple):
    """What a response says."""

    action: str
    """The action, as environments read it; empty if an ill-formed response names none."""
    well_formed: bool = True
    """Whether the response has the form that the prompt asks for."""
    penalty: float = 0.0
    """What the response's form costs of the step's reward."""
    stop: StopReason | None = None
    """Why the episode ends here, before the environment reads the action; None: it reads it."""


class PromptTooLong(Exception):
    """A conversation outgrew the longest prompt, and its episode is to end."""


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
        """Ids of the prompt; `past` are all turns of the episode so far.

        Raises `PromptTooLong` if the episode is to end instead.
        """

    def response(self, action: str, admissible: Sequence[str] = ()) -> tuple[int, ...]:
        """Ids of an action as a policy would sample it."""

    def read(self, response_ids: Sequence[int], admissible: Sequence[str] = ()) -> Reading:
        """What a response says."""

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The text of each token."""

    def take_dropped(self, summed: Sums = dict) -> dict[str, float] | None:
        """What prompts left out for lack of room since the last call, by name; None if nothing is counted.

        `summed` adds up what this process and others counted.
        """
