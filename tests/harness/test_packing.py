"""Packed, shared, chunked and accumulated, an update is the plain one: a row at a time, padded nowhere."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, PreTrainedModel, Qwen2Config, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

import harness.policy.rows
from algorithms.base import Credit
from algorithms.factors import Aggregation, KLEstimator
from algorithms.grpo import GRPO
from harness.config import BatchConfig, TinyModel
from harness.ledger import Ledger
from harness.policy.packing import Extent, packed
from harness.records import Batch, Step, StopReason, Trajectory
from harness.update.learner import Learner
from harness.update.minibatch import Minibatch
from harness.update.optimizer import AdamW

VOCABULARY, END, LONGEST = 31, 1, 64
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SMALL),
    "qwen2": lambda: Qwen2Config(**SMALL, tie_word_embeddings=True),
    "qwen3": lambda: Qwen3Config(**SMALL, head_dim=8),
}
ALGORITHM = GRPO(
    aggregation=Aggregation.seq_mean_token_mean,
    clip_low=0.1,
    clip_high=0.1,
    kl_estimator=KLEstimator.none,
    kl_coef=0.0,
    entropy_coef=0.1,
)


@pytest.fixture(params=CONFIGS)
def policy(request) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[request.param]()).eval()


@pytest.fixture(scope="module")
def trajectories() -> list[Trajectory]:
    """Two groups of three ragged episodes; an episode's prompts grow, a group's first ones are equal."""
    draw = np.random.default_rng(0)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(draw.integers(2, VOCABULARY, size=int(draw.integers(1, most))).tolist())

    def episode(group: int, rollout: int, first: tuple[int, ...]) -> Trajectory:
        steps, prompt = [], first
        for _ in range(int(draw.integers(1, 4))):
            response = (*ids(5), END)
            steps.append(step(prompt, response))
            prompt = prompt + response + ids(4)
        return Trajectory(str(group), group, rollout, tuple(steps), False, StopReason.failed, 0.0)

    return [
        episode(group, rollout, first) for group, first in enumerate((ids(9), ids(9))) for rollout in range(3)
    ]


def step(prompt: tuple[int, ...], response: tuple[int, ...]) -> Step:
    zeros = np.zeros(len(response), dtype=np.float32)
    return Step(prompt, response, zeros, zeros, "", "", state_key="", reward=0.0, valid=True)


@pytest.fixture
def minibatch(policy, trajectories) -> Minibatch:
    """Sampled by a policy near this one, credited at random."""
    draw = np.random.default_rng(1)
    batch = Batch.of(trajectories, end_id=END, vocabulary=VOCABULARY, seed=0)
    with torch.no_grad():
        now_T = plain_logprobs(policy, trajectories)[0].double().numpy()
    object.__setattr__(batch, "logprob_T", now_T - draw.normal(0, 0.15, len(now_T)))
    credit = Credit(draw.normal(size=len(now_T)))
    return Minibatch.of(trajectories, batch, credit, np.ones(len(trajectories), dtype=bool))


def plain_logprobs(policy, trajectories) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies (T,), each step a pass of its own."""
    logprobs, entropies = [], []
    for played in (played for trajectory in trajectories for played in trajectory.steps):
        ids = torch.tensor([played.prompt_ids + played.response_ids])
        logits = policy(input_ids=ids, use_cache=False).logits[0, len(played.prompt_ids) - 1 : -1]
        distribution = torch.distributions.Categorical(logits=logits)
        logprobs.append(distribution.log_prob(torch.tensor(played.response_ids)))
        entropies.append(distribution.entropy())
    return torch.cat(logprobs), torch.cat(entropies)


def plain_update(policy, minibatch) -> tuple[float, torch.Tensor]:
    """GRPO's clipped loss with an entropy bonus, written out, and its gradient."""
    logprob_T, entropy_T = plain_logprobs(policy, minibatch.trajectories)
    ratio_T = (logprob_T - torch.from_numpy(minibatch.old_logprob_T)).exp()
    advantage_T = torch.from_numpy(minibatch.advantage_T)
    surrogate_T = torch.minimum(ratio_T * advantage_T, ratio_T.clamp(0.9, 1.1) * advantage_T)
    token_T = surrogate_T + 0.1 * entropy_T
    members = [torch.from_numpy(minibatch.trajectory_T == n) for n in np.unique(minibatch.trajectory_T)]
    loss = -sum(token_T[member].mean() for member in members) / len(members)
    surrogate = -sum(surrogate_T[member].mean() for member in members) / len(members)
    parts = torch.autograd.grad(loss, list(policy.parameters()))
    return float(surrogate.detach()), torch.cat([part.flatten() for part in parts])


def update(policy, minibatch, micro_tokens) -> tuple[float, torch.Tensor, Ledger]:
    """The learner's loss and gradient: what a step of plain gradient descent at rate 1 takes off."""
    ledger = Ledger()
    batch = BatchConfig(micro_tokens=micro_tokens)
    learner = Learner(policy, ALGORITHM, TinyModel(grad_clip=1e9), batch, LONGEST, ledger)
    learner.policy_optimizer = Kept(weight_decay=0.0)
    learner.policy_optimizer.add(policy.parameters(), lr=1.0)
    metrics = learner.update(minibatch)
    return metrics["policy_loss"], learner.policy_optimizer.gradient, ledger


class Kept(AdamW):
    """Keeps the gradient instead of using it."""

    def step(self, grad_clip):
        self.gradient = torch.cat([parameter.grad.flatten() for parameter in self.trained]).clone()
        for parameter in self.trained:
            parameter.grad = None
        return float(self.gradient.norm())


def error(measured: torch.Tensor, expected: torch.Tensor) -> float:
    return float((measured - expected).norm() / expected.norm())


def test_an_update_is_the_plain_one(policy, minibatch):
    loss, gradient = plain_update(policy, minibatch)
    measured_loss, measured, _ = update(policy, minibatch, 10**6)
    assert measured_loss == pytest.approx(loss, rel=1e-5)
    assert error(measured, gradient) < 2e-6


@pytest.mark.parametrize("micro_tokens", [1, 30, 60])
def test_accumulation_does_not_depend_on_the_micro_batch(policy, minibatch, micro_tokens, monkeypatch):
    loss, whole, _ = update(policy, minibatch, 10**6)
    if micro_tokens == 30:
        monkeypatch.setattr(harness.policy.rows, "MOST_LOGITS", 4 * VOCABULARY)
    measured_loss, measured, _ = update(policy, minibatch, micro_tokens)
    assert len(list(packed(minibatch.trajectories, micro_tokens))) > 1
    assert measured_loss == pytest.approx(loss, abs=1e-6)  # a sum of terms of about 1 that cancel
    assert error(measured, whole) < 1e-6


def test_nominal_work_does_not_depend_on_the_micro_batch(policy, minibatch):
    whole, parts = (
        update(policy, minibatch, tokens)[2].to_plain()["phases"]["actor_train"] for tokens in (10**6, 1)
    )
    assert (whole["tokens"], whole["flops"]) == (parts["tokens"], parts["flops"])
    assert whole["computed"] < parts["computed"] < parts["flops"], "less is shared in small passes"


def test_runs_hold_what_fits(trajectories):
    for most in (1, 20, 40, 80, 10**6):
        parts = list(packed(trajectories, most))
        assert [trajectory for part in parts for trajectory in part] == trajectories
        for part, following in pairwise(parts):
            assert len(part) == 1 or attended(part) <= most
            assert attended([*part, following[0]]) > most, "the next one would have fitted"


def attended(trajectories) -> int:
    """Brute force: the tokens of all distinct rows that begin no other one."""
    rows = {step.prompt_ids + step.response_ids for trajectory in trajectories for step in trajectory.steps}
    return sum(
        len(row) for row in rows if not any(other != row and other[: len(row)] == row for other in rows)
    )


def test_extent_counts_leaves_in_any_order():
    rows = [((1,), (2,)), ((1, 2), (3, 4)), ((1, 2), (3,)), ((1, 2), (3, 4)), ((5,), (6,))]
    for order in (rows, rows[::-1]):
        extent = Extent()
        extent.add(order)
        assert extent.tokens == 4 + 2
