"""What a run spent, by phase.

`flops` are nominal: every row counted as if nothing were shared, which is what the budget counts. `computed`
are the operations really done: equal rows are computed once. Seconds are kept apart (they are no function of
the configuration) by the run's timing file.
"""

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class Phase(Enum):
    """Where compute goes."""

    prefill = "prefill"
    decode = "decode"
    decode_branch = "decode_branch"
    branch_scoring = "branch_scoring"
    score_reference = "score_reference"
    ratio_centre = "ratio_centre"
    critic_forward = "critic_forward"
    critic_train = "critic_train"
    actor_train = "actor_train"
    evaluation = "evaluation"
    warm_start = "warm_start"
    true_values = "true_values"


OUTSIDE_BUDGET = (Phase.evaluation, Phase.warm_start, Phase.true_values)


@dataclass
class Entry:
    """One phase's account."""

    tokens: int = 0
    """Tokens that went through the model."""
    flops: int = 0
    """Closed-form operations, nothing shared."""
    computed: int = 0
    """Closed-form operations of the distinct rows."""


@dataclass
class Reused:
    """Work that was not done again."""

    tokens: int = 0
    """Tokens not sampled again."""
    flops: int = 0
    """What prefilling for them and sampling them had cost."""


@dataclass
class Ledger:
    """A run's account. Every number is a function of the configuration alone."""

    entries: dict[Phase, Entry] = field(default_factory=lambda: {phase: Entry() for phase in Phase})
    env_steps: int = 0
    """Environment steps of training rollouts."""
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

    def spent(self, axis: str) -> int:
        """What the budget's axis has used: `flops`, `tokens` (sampled in training) or `env_steps`."""
        if axis == "flops":
            return sum(e.flops for phase, e in self.entries.items() if phase not in OUTSIDE_BUDGET)
        if axis == "tokens":
            return self.entries[Phase.decode].tokens + self.entries[Phase.decode_branch].tokens
        assert axis == "env_steps", axis
        return self.env_steps

    def to_plain(self) -> dict[str, object]:
        """As JSON-able data."""
        counts = {k: v for k, v in asdict(self).items() if k != "entries"}
        return {**counts, "phases": {phase.value: asdict(entry) for phase, entry in self.entries.items()}}

    def load(self, plain: dict[str, Any]) -> None:
        """Take over what `to_plain` gave."""
        self.entries = {Phase(name): Entry(**entry) for name, entry in plain["phases"].items()}
        self.prefix_reused = Reused(**plain["prefix_reused"])
        for name in ("env_steps", "env_steps_replayed", "env_steps_evaluation", "trajectories"):
            setattr(self, name, plain[name])
