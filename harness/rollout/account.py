"""Books what playing episodes costs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        read, known = np.array(usage.read, dtype=np.int64).reshape(-1, 2).T
        new_tokens, new = int((read - known).sum()), self.forms.prefill(read, known)
        flops = self.forms.forward(usage.context)
        # Of a context that is read, the head reads the last position alone.
        headless = 2 * self.forms.head * (new_tokens - int((read > known).sum()))
        self.ledger.add(prefill, new_tokens, new, computed=new - headless)
        self.ledger.add(cached, sum(usage.context) - new_tokens, flops - new, computed=0)
        decoded = self.forms.decode(usage.decoded)
        self.ledger.add(self.decode, usage.sampled, self.forms.decode(usage.decode), decoded)
        self.ledger.meter.lap(prefill, usage.read_seconds)
        for rows in usage.scored:
            score = Phase.evaluation if self._evaluates else Phase.score_sampled
            self.ledger.add(score, *rows.cost(self.forms.forward))
        if usage.scored:
            self.ledger.meter.lap(score, usage.score_seconds)
        self.ledger.meter.lap(self.decode)

    def stepped(self, steps: Sequence[Step]) -> None:
        """Book environment steps."""
        if self._evaluates:
            self.ledger.env_steps_evaluation += len(steps)
        else:
            self.ledger.env_steps += len(steps)
            self.ledger.tool_calls += sum(step.valid for step in steps)
        self.ledger.meter.lap(Phase.evaluation if self._evaluates else Phase.environment)
