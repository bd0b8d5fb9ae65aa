"""Books what playing episodes costs."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.ledger import Ledger, Phase, TransformerFlops
from harness.records import Step
from harness.rollout.engine import Usage


@dataclass(frozen=True)
class Account:
    """Where the cost of playing goes."""

    ledger: Ledger
    forms: TransformerFlops
    decode: Phase
    """Phase of the tokens sampled: `decode`, `decode_branch`, or `evaluation`, which takes everything."""

    @property
    def _evaluates(self) -> bool:
        return self.decode is Phase.evaluation

    def generated(self, usage: Usage) -> None:
        """Book a generation call."""
        prefill = Phase.evaluation if self._evaluates else Phase.prefill_new
        cached = Phase.evaluation if self._evaluates else Phase.prefill_cached
        tokens, new_tokens = int(usage.prefill_R.sum()), int(usage.prefill_U.sum())
        flops, new = self.forms.forward(usage.prefill_R), self.forms.forward(usage.prefill_U)
        self.ledger.add(prefill, new_tokens, new)
        self.ledger.add(cached, tokens - new_tokens, flops - new, computed=0)
        self.ledger.add(self.decode, usage.sampled, self.forms.decode(usage.decode))
        self.ledger.meter.lap(prefill, usage.prefill_seconds)
        self.ledger.meter.lap(self.decode)

    def stepped(self, steps: Sequence[Step]) -> None:
        """Book environment steps."""
        if self._evaluates:
            self.ledger.env_steps_evaluation += len(steps)
        else:
            self.ledger.env_steps += len(steps)
            self.ledger.tool_calls += sum(step.valid for step in steps)
        self.ledger.meter.lap(Phase.evaluation if self._evaluates else Phase.environment)
