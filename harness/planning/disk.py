"""How much disk a cell takes, from its configuration alone."""

from harness.config import PretrainedModel, RunConfig, TinyModel
from harness.config.model import CriticKind
from harness.planning.predict import forms, head_forms
from harness.policy.shapes import published_parameters
from harness.policy.source import Missing, locate, parameters
from harness.records.batch import asks_for
from harness.records.columns import Moment
from harness.store.run_dir import KEPT_CHECKPOINTS

FLOAT = 4
"""Bytes of a weight or a moment: everything is fp32."""
LINE = 1024
"""Bytes of one iteration's or evaluation's lines of metrics and timing, with room to spare."""
RECORDED_TOKEN = 64
"""Bytes of a recorded action token, packed, its share of the step's texts included, with room to spare."""
SMALL_FILES = 64 * 1024
"""Bytes of the rest: config, result, log, the checkpoints' states and the headers of their tensors."""


def weights(config: RunConfig) -> int:
    """Numbers that are stored of a policy: its parameters or, with adapters, those of the adapters alone."""
    model, env = config.model, config.env
    if isinstance(model, PretrainedModel):
        return forms(config).adapter_params or all_parameters(model)
    assert isinstance(model, TinyModel)
    # Matrices, positions, and each block's biases and norms.
    positions = env.max_prompt_tokens + env.longest_response
    rest = positions + 13 * model.layers + 2
    return forms(config).matmul_params + rest * model.width


def all_parameters(model: PretrainedModel) -> int:
    """How many numbers a pretrained model's weights are."""
    try:
        return parameters(locate(model))
    except Missing:
        return published_parameters(model)


def critic_weights(config: RunConfig) -> int:
    """Numbers that are stored of a critic at most: a policy's, or those of a head alone."""
    head = head_forms(config).matmul_params + 1
    return head if config.model.critic is CriticKind.head else weights(config) + head


def checkpoint_bytes(config: RunConfig) -> int:
    """Weights and AdamW's two moments of the policy and of a critic; the older policies that are kept."""
    algorithm = config.algorithm
    policies = 3 + asks_for(algorithm.plan().reads, Moment.previous) + config.rollout.overlap
    numbers = policies * weights(config) + 3 * algorithm.has_critic * critic_weights(config)
    return numbers * FLOAT


def cell_bytes(config: RunConfig, lines: float) -> int:
    """The most that a cell holds between iterations, having written this many lines."""
    checkpoints = KEPT_CHECKPOINTS * checkpoint_bytes(config)
    return checkpoints + trajectory_bytes(config) + int(lines * LINE) + SMALL_FILES


def trajectory_bytes(config: RunConfig) -> int:
    """The most that the recorded episodes of all evaluations take."""
    evaluation, env = config.evaluation, config.env
    episodes = (evaluation.points + 1) * min(evaluation.record, env.eval_tasks) * evaluation.episodes
    return episodes * env.horizon * config.longest_response * RECORDED_TOKEN
