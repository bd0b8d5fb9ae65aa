"""What a generation engine is: requests in, generations out, finished ones at once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.policy.gpt2 import Policy
    from harness.policy.rows import Rows


@dataclass(frozen=True, eq=False)
class Request:
    """Continue `prompt_ids` + `kept_ids` until the end token.

    Requests compare by identity: two with equal fields are still two requests.
    """

    prompt_ids: tuple[int, ...]
    kept_ids: tuple[int, ...]
    """The start of the response that is given and not sampled again."""
    counter: tuple[int, int, int]
    """(draw, rollout, step): with the token's number, the counter of its random number."""
    greedy: bool = False
    """The likeliest tokens, rather than sampled ones at temperature 1."""

    @property
    def context_ids(self) -> tuple[int, ...]:
        """What is continued."""
        return self.prompt_ids + self.kept_ids


@dataclass(eq=False)
class Generation:
    """What was sampled after a request's kept ids."""

    request: Request
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    """Log-probabilities in nats under the unmodified policy."""
    entropies: list[float] = field(default_factory=list)
    """Full-vocabulary entropies in nats."""

    @property
    def length(self) -> int:
        """Ids of the response so far, kept and sampled."""
        return len(self.request.kept_ids) + len(self.ids)

    @property
    def response_ids(self) -> tuple[int, ...]:
        """The response so far, kept and sampled."""
        return (*self.request.kept_ids, *self.ids)


@dataclass
class Usage:
    """What generations cost, in positions."""

    context: list[int] = field(default_factory=list)
    """Tokens of each request's context."""
    read: list[tuple[int, int]] = field(default_factory=list)
    """Of each context that was really read: its tokens, and how many of them the cache had."""
    decode: list[int] = field(default_factory=list)
    """Positions attended to, for every sampled token that was fed back."""
    decoded: list[int] = field(default_factory=list)
    """Like `decode`, but generations that are identical so far count once: the positions actually
    computed."""
    sampled: int = 0
    """Tokens sampled."""
    scored: list["Rows"] = field(default_factory=list)
    """What the policy read once more, if the engine can't tell entropies."""
    read_seconds: float = 0.0
    """Seconds until contexts were read."""
    score_seconds: float = 0.0
    """Seconds of reading rows once more."""


class Engine(ABC):
    """Samples from the policy.

    What a request gets depends on the weights, the request, the seed and the purpose; not on other
    requests, nor on what was computed before, other than by floating-point rounding.
    """

    @abstractmethod
    def sync(self) -> None:
        """Sample from the policy as it is now, and forget all that was computed.

        Called before episodes are played: after every update, and wherever an interrupted run may go on.
        """

    @abstractmethod
    def twin(self, model: "Policy") -> "Engine":
        """An engine like this one that samples from `model`, a policy of the same shape.

        What is expensive is shared: the two must not generate at the same time.
        """

    @abstractmethod
    def add(self, requests: Sequence[Request], seed: int, purpose: str) -> None:
        """Queue requests. Until all are generated, seed and purpose must stay the same."""

    @abstractmethod
    def step(self) -> list[Generation]:
        """Go on for at most one token of each generation; those that are finished now."""

    @property
    @abstractmethod
    def room(self) -> int:
        """How many episodes can be played at once without pushing each other's contexts out of the cache."""

    @property
    @abstractmethod
    def busy(self) -> bool:
        """Whether requests are unfinished."""

    @abstractmethod
    def take_usage(self) -> Usage:
        """What was spent since the last call."""

    def take_diagnostics(self) -> dict[str, float]:
        """What the engine noticed since the last call, by its name in the metrics."""
        return {}

    def release(self) -> None:
        """Give memory back that only makes what follows faster."""
        return None

    def generate(
        self, requests: Sequence[Request], seed: int, purpose: str
    ) -> tuple[list[Generation], Usage]:
        """All of `requests`, in their order."""
        self.add(requests, seed, purpose)
        finished: dict[Request, Generation] = {}
        while self.busy:
            finished |= {generation.request: generation for generation in self.step()}
        return [finished[request] for request in requests], self.take_usage()
