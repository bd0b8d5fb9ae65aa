"""Closed forms against torch's counter, under the MATH backend (fused attention counts as zero on CPUs)."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from envs.vault import VaultSpec
from harness.config import ModelConfig
from harness.policy.model import Critic, closed_forms, new_policy


@pytest.fixture(params=[(1, 32, 2), (2, 64, 4)])
def policy(request):
    layers, width, heads = request.param
    return new_policy(ModelConfig(layers=layers, width=width, heads=heads), VaultSpec(), 50, seed=0)


def counted(run) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def full_attention(forms, rows: int, length: int) -> int:
    """The counter sees the whole attention matrix, 4A s^2; the closed form its causal half, 2A s^2."""
    return 2 * forms.attention * rows * length**2


def test_forward(policy):
    forms = closed_forms(policy, policy.config)
    ids = torch.zeros(3, 17, dtype=torch.long)
    measured = counted(lambda: policy(input_ids=ids, use_cache=False))
    assert measured == forms.forward([17] * 3) + full_attention(forms, 3, 17)


def test_training_is_three_forward_passes(policy):
    forms = closed_forms(policy, policy.config)
    ids = torch.zeros(2, 9, dtype=torch.long)
    measured = counted(lambda: policy(input_ids=ids, use_cache=False).logits.sum().backward())
    assert measured == forms.train([9] * 2) + 3 * full_attention(forms, 2, 9)


def test_decoding_with_a_cache(policy):
    forms = closed_forms(policy, policy.config)
    ids = torch.zeros(2, 11, dtype=torch.long)
    cache = policy(input_ids=ids, use_cache=True).past_key_values
    measured = counted(lambda: policy(input_ids=ids[:, :1], past_key_values=cache, use_cache=True))
    assert measured == forms.decode([12, 12])


def test_critic_has_a_scalar_head_instead_of_the_vocabulary(policy):
    forms, critic = closed_forms(policy, policy.config), Critic(policy)
    critic_forms = closed_forms(critic, policy.config)
    width = policy.config.n_embd
    assert forms.matmul_params - critic_forms.matmul_params == width * 50 - width


def test_sums_over_rows(policy):
    forms = closed_forms(policy, policy.config)
    assert forms.forward([3, 5]) == forms.forward([3]) + forms.forward([5])
    assert forms.forward([5]) - forms.forward([4]) == forms.decode([5]) - 2 * forms.attention
