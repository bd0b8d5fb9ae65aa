"""The small policy's trunk as plain operations gives the bits of transformers' modules."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from harness.policy import gpt2
from harness.policy.model import new_critic
from harness.policy.rows import Rows, hidden_states, logprobs
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


def by_modules(monkeypatch):
    monkeypatch.setattr(gpt2, "is_plain", lambda backbone: False)


def test_passes_and_gradients_are_the_modules_to_the_last_bit(policy, rows, monkeypatch):
    critic = new_critic(policy, "separate")
    nn.init.normal_(critic.head.weight)

    def everything():
        policy.zero_grad()
        critic.zero_grad()
        logprob_T, entropy_T = logprobs(policy, rows)
        value_M = critic.values(hidden_states(critic.backbone, rows))
        (logprob_T.sum() + entropy_T.sum() + value_M.square().sum()).backward()
        gradients = [each.grad.clone() for each in (*policy.parameters(), *critic.parameters())]
        return [logprob_T.detach(), entropy_T.detach(), value_M.detach(), *gradients]

    assert gpt2.is_plain(policy.base_model)
    plain = everything()
    by_modules(monkeypatch)
    modules = everything()
    assert len(plain) == len(modules) > 30
    assert all(torch.equal(one, other) for one, other in zip(plain, modules, strict=True))


def test_generations_are_the_modules_to_the_last_bit(policy, prompts, monkeypatch):
    def sampled(plain: bool):
        engine = TorchEngine(policy, prompts.end_id, 60, 6)
        assert bool(engine._plain) is plain
        contexts = [tuple(range(3, 8 + i % 5)) for i in range(20)]
        requests = [Request(ids, (), (0, i, 0)) for i, ids in enumerate(contexts)]
        generations, _ = engine.generate(requests, 1, "test")
        return [(each.ids, each.logprobs, each.entropies) for each in generations]

    plain = sampled(plain=True)
    by_modules(monkeypatch)
    assert plain == sampled(plain=False)


def test_what_is_more_than_the_small_policy_goes_through_its_modules(policy):
    trunk = policy.base_model
    assert gpt2.is_plain(trunk)
    hook = trunk.h[1].mlp.register_forward_hook(lambda *_: None)
    assert not gpt2.is_plain(trunk)
    hook.remove()
    trunk.h[0].training = True  # as where activations are checkpointed
    assert not gpt2.is_plain(trunk)
    trunk.eval()
    assert gpt2.is_plain(trunk)
    trunk.h[0].attn.c_attn = nn.Sequential(trunk.h[0].attn.c_attn)  # as adapters do
    assert not gpt2.is_plain(trunk)
    assert not gpt2.is_plain(GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=1)).base_model.eval())
