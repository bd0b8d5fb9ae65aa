"""The small policy is transformers' GPT-2 to the last bit."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from harness.policy.gpt2 import GPT2
from harness.policy.model import new_critic
from harness.policy.rows import Rows, hidden_states, logprobs
from harness.policy.shapes import SmallShape
from harness.rollout.engine import Request
from harness.rollout.torch_engine import TorchEngine


@pytest.fixture
def rows():
    """Rows that share beginnings, of several lengths."""
    draw = np.random.default_rng(0)
    stems = [tuple(draw.integers(3, 30, 5 + 9 * i).tolist()) for i in range(4)]
    return Rows.of(
        [(stem, tuple(draw.integers(3, 30, 1 + i % 4).tolist())) for i in range(9) for stem in stems]
    )


@pytest.mark.parametrize("shape", [(50, 64, 2, 4, 80), (31, 16, 1, 2, 33), (7, 8, 3, 2, 9)], ids=str)
def test_first_weights(shape):
    words, width, layers, heads, positions = shape
    torch.manual_seed(5)
    ours = GPT2(SmallShape(*shape))
    torch.manual_seed(5)
    theirs = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=words,
            n_embd=width,
            n_layer=layers,
            n_head=heads,
            n_positions=positions,
            initializer_range=width**-0.5,
        )
    )
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    assert all(torch.equal(mine[name], other[name]) for name in mine)


def test_passes_and_gradients(policy, rows):
    theirs = policy.as_transformers()
    critics = [new_critic(each, "separate") for each in (policy, theirs)]
    weight = torch.randn_like(critics[0].head.weight)

    def everything(policy, critic):
        critic.head.weight = nn.Parameter(weight)
        logprob_T, entropy_T = logprobs(policy, rows)
        value_M = critic.values(hidden_states(critic.backbone, rows))
        (logprob_T.sum() + entropy_T.sum() + value_M.square().sum()).backward()
        gradients = [each.grad for each in (*policy.parameters(), *critic.parameters())]
        return [logprob_T.detach(), entropy_T.detach(), value_M.detach(), *gradients]

    ours, others = map(everything, (policy, theirs), critics)
    assert len(ours) == len(others) > 30
    assert all(torch.equal(one, other) for one, other in zip(ours, others, strict=True))


def test_generations(policy, prompts):
    def sampled(policy):
        engine = TorchEngine(policy, prompts.end_id, 60, 6)
        contexts = [tuple(range(3, 8 + i % 5)) for i in range(20)]
        requests = [Request(ids, (), (0, i, 0)) for i, ids in enumerate(contexts)]
        generations, _ = engine.generate(requests, 1, "test")
        return [(each.ids, each.logprobs, each.entropies) for each in generations]

    assert sampled(policy) == sampled(policy.as_transformers())


def test_a_run_needs_neither_transformers_nor_torchs_compiler(tmp_path):
    """Each takes as long to import as all else that a process does before its first iteration."""
    small = ["model.clone_updates=2", "model.clone_steps=20", "batch.trajectories=8", "batch.minibatches=1"]
    small += ["env.horizon=8", "env.train_tasks=2", "env.eval_tasks=1"]
    small += ["evaluation.points=1", "evaluation.window=1", "budget.limit=1e8"]
    code = (
        "import sys\n"
        "from harness.run import run_alone\n"
        f"assert run_alone({small}) == 0\n"
        "heavy = {'transformers', 'torch._dynamo', 'sympy'} & set(sys.modules)\n"
        "assert not heavy, f'{heavy} imported'\n"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
