"""The phases of a run, and which of them the budget leaves out."""

from enum import Enum


class Phase(Enum):
    """Where compute and time go."""

    prefill_new = "prefill_new"
    """Prompt tokens that were read."""
    prefill_cached = "prefill_cached"
    """Prompt tokens found in the key-value cache: counted as nominal work, not computed."""
    decode = "decode"
    """Tokens sampled in rollouts from the start."""
    decode_branch = "decode_branch"
    """Tokens sampled in continuations only."""
    score_sampled = "score_sampled"
    """Responses that the policy reads once more, if the engine can't tell entropies."""
    branch_scoring = "branch_scoring"
    score_reference = "score_reference"
    column_scoring = "column_scoring"
    """Passes that fill a column of the batch which has no phase of its own."""
    ratio_centre = "ratio_centre"
    critic_forward = "critic_forward"
    critic_train = "critic_train"
    actor_train = "actor_train"
    environment = "environment"
    """Environment steps and records: time, no model's work."""
    credit = "credit"
    """Credit functions, batches and branch points: time, no model's work."""
    evaluation = "evaluation"
    warm_start = "warm_start"
    true_values = "true_values"
    unused = "unused"
    """The rollout that was played ahead of a run's end, and never trained on."""


OUTSIDE_BUDGET = (Phase.evaluation, Phase.warm_start, Phase.true_values, Phase.unused)
