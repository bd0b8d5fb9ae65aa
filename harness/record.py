"""Sampled evaluation episodes as a trajectory file, with all that algorithms read and this run can tell."""

from collections.abc import Sequence
from dataclasses import replace

from harness.config import RunConfig
from harness.errors import UserError
from harness.ledger import Ledger, Phase
from harness.policy.exact import TrueValues
from harness.policy.prompting import Prompting
from harness.policy.rows import Rows
from harness.policy.scoring import Scorer
from harness.records import Batch, Trajectory
from harness.records.batch import Floats
from harness.records.writer import packed


class Recorder:
    """Completes batches of evaluation episodes; what that costs is evaluation's, outside the budget."""

    def __init__(
        self,
        config: RunConfig,
        prompts: Prompting,
        scorer: Scorer,
        true_values: TrueValues,
        ledger: Ledger,
    ) -> None:
        self.config, self.prompts, self.scorer = config, prompts, scorer
        self.true_values, self.ledger = true_values, ledger
        self.goals = {task.id: task.goal for task in config.env.evaluation_panel()}

    def file(self, trajectories: Sequence[Trajectory], batch: Batch) -> bytes:
        """The file's bytes. `batch` is the trajectories' flat form."""
        scorer = self.scorer
        batch = replace(
            batch,
            value_T=scorer.values(trajectories, Phase.evaluation),
            # No update has been made since the episodes were played.
            current_logprob_T=batch.logprob_T,
            true_advantage_S=scorer.ranks.once(lambda: self._true_advantages(trajectories)),
        )
        if scorer.reference:
            reference_T = scorer.score(trajectories, scorer.reference, Phase.evaluation)
            batch = replace(batch, reference_logprob_T=reference_T)
        return packed(trajectories, batch, self.prompts.texts, self.goals)

    def _true_advantages(self, trajectories: Sequence[Trajectory]) -> Floats | None:
        """None where situations can't be listed, or there are too many of them."""
        if not self.config.has_exact_values:
            return None
        try:
            return self.true_values.advantages(trajectories, self.scorer.policy, self._book)
        except UserError:
            return None

    def _book(self, rows: Rows) -> None:
        forms = self.scorer.policy_forms
        computed = forms.forward(rows.length_B, rows.positions, rows.predicted)
        self.ledger.add(Phase.evaluation, int(rows.length_U.sum()), forms.forward(rows.length_U), computed)
        self.ledger.meter.lap(Phase.evaluation)
