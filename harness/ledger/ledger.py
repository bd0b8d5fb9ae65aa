"""What a run spent, by phase.

`flops` are nominal: every row counted as if nothing were shared, which is what the budget counts. `computed`
are the operations really done: what rows share from their start is computed once. Seconds and memory are no
function of the configuration: a `Meter` keeps them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

from harness.ledger.meter import Meter
from harness.ledger.phase import OUTSIDE_BUDGET, Phase

COUNTS = ("env_steps", "tool_calls", "env_steps_replayed", "env_steps_evaluation", "trajectories")
"""What the ledger counts besides its phases."""
COUNTED_AXES = ("flops", "tokens", "env_steps", "trajectories")
"""Budget axes that are a function of the configuration."""


@dataclass
class Entry:
    """One phase's account."""

    tokens: int = 0
    """Tokens that went through the model."""
    flops: int = 0
    """Closed-form operations, nothing shared."""
    computed: int = 0
    """Closed-form operations of what was not shared."""


@dataclass
class Reused:
    """Work that was not done again."""

    tokens: int = 0
    """Tokens not sampled again."""
    flops: int = 0
    """What prefilling for them and sampling them had cost."""


@dataclass
class Ledger:
    """A run's account. Every number of it, the meter's apart, is a function of the configuration alone."""

    entries: dict[Phase, Entry] = field(default_factory=lambda: {phase: Entry() for phase in Phase})
    meter: Meter = field(default_factory=Meter)
    """Seconds and memory; not part of `to_plain`."""
    env_steps: int = 0
    """Environment steps of training rollouts."""
    tool_calls: int = 0
    """Those of them whose action the environment accepted and carried out."""
    env_steps_replayed: int = 0
    """Steps repeated to bring an environment back to a branch point."""
    env_steps_evaluation: int = 0
    """Environment steps of evaluations."""
    trajectories: int = 0
    """Training trajectories, branches included."""
    prefix_reused: Reused = field(default_factory=Reused)
    """What branches took over from their parents: the steps before the branch point, and the kept tokens."""

    def add(self, phase: Phase, tokens: int, flops: int, computed: int | None = None) -> None:
        """Book work; `computed` is `flops` unless rows were shared."""
        entry = self.entries[phase]
        entry.tokens += tokens
        entry.flops += flops
        entry.computed += flops if computed is None else computed

    def merge(self, other: "Ledger") -> None:
        """Book what another ledger has booked."""
        for phase, entry in other.entries.items():
            self.add(phase, entry.tokens, entry.flops, entry.computed)
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.prefix_reused.tokens += other.prefix_reused.tokens
        self.prefix_reused.flops += other.prefix_reused.flops
        self.meter.merge(other.meter)

    def spent(self, axis: str) -> int:
        """What a counted axis has used: flops, tokens (sampled in training), env_steps or trajectories."""
        if axis == "flops":
            return sum(e.flops for phase, e in self.entries.items() if phase not in OUTSIDE_BUDGET)
        if axis == "tokens":
            return self.entries[Phase.decode].tokens + self.entries[Phase.decode_branch].tokens
        assert axis in ("env_steps", "trajectories"), axis
        return int(getattr(self, axis))

    def to_plain(self) -> dict[str, object]:
        """As JSON-able data."""
        return {
            **{name: getattr(self, name) for name in COUNTS},
            "prefix_reused": asdict(self.prefix_reused),
            "phases": {phase.value: asdict(entry) for phase, entry in self.entries.items()},
        }

    def load(self, plain: dict[str, Any]) -> None:
        """Take over what `to_plain` gave."""
        loaded = {Phase(name): Entry(**entry) for name, entry in plain["phases"].items()}
        self.entries = {phase: Entry() for phase in Phase} | loaded
        self.prefix_reused = Reused(**plain["prefix_reused"])
        for name in COUNTS:
            setattr(self, name, plain[name])
