"""Writes evaluation episodes as trajectory files, with every optional column that this run can compute."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.config import RunConfig
from harness.errors import UserError
from harness.ledger import Phase
from harness.policy.columns import FILLERS, Filler, Sources
from harness.policy.prompting import Prompting
from harness.records import Batch, Trajectory
from harness.records.batch import Floats
from harness.records.writer import packed


class Recorder:
    """Completes batches of evaluation episodes; what that costs is evaluation's, outside the budget."""

    def __init__(self, config: RunConfig, prompts: Prompting, sources: Sources) -> None:
        self.prompts, self.sources = prompts, sources
        self.goals = {task.id: task.goal for task in config.env.evaluation_panel()}

    def file(self, trajectories: Sequence[Trajectory], batch: Batch) -> bytes:
        """The file's bytes. `batch` is the trajectories' flat form."""
        told: dict[str, Any] = {name: self._told(filler, trajectories) for name, filler in FILLERS.items()}
        # No update has been made since the episodes were played.
        batch = replace(batch, current_logprob_T=batch.logprob_T, **told)
        return packed(trajectories, batch, self.prompts.texts, self.goals)

    def _told(self, filler: Filler, trajectories: Sequence[Trajectory]) -> Floats | None:
        """A column, or None if this run can't tell."""
        try:
            return filler.fill(self.sources, trajectories, Phase.evaluation)
        except UserError:
            return None
