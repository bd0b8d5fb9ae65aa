"""A small policy on the vault, and a played batch."""

import pytest
import torch

from envs.vault import VaultSpec
from harness.config import TinyModel
from harness.ledger import Ledger, Phase
from harness.policy.model import closed_forms, new_policy
from harness.policy.text import Prompts
from harness.rollout.account import Account
from harness.rollout.environments import EnvironmentPool
from harness.rollout.episodes import Episode, Player
from harness.rollout.torch_engine import TorchEngine

torch.set_num_threads(1)
SPEC = VaultSpec(horizon=10)


@pytest.fixture(scope="session")
def prompts():
    return Prompts(SPEC)


@pytest.fixture
def policy(prompts):
    return new_policy(TinyModel(), SPEC, prompts.vocabulary_size, seed=1)


@pytest.fixture
def player(policy, prompts):
    engine = TorchEngine(policy, prompts.end_id, SPEC.max_prompt_tokens, SPEC.max_action_tokens)
    return Player(engine, prompts, EnvironmentPool(SPEC), seed=5)


@pytest.fixture
def roots():
    """Two tasks, three episodes each, not yet played."""
    panel = SPEC.training_panel()
    return [Episode(panel[i], group=i, rollout=r, seed=r) for i in range(2) for r in range(3)]


@pytest.fixture
def account(policy):
    """Books what is played, where the costs are of no interest."""
    return Account(Ledger(), closed_forms(policy, policy.config), Phase.decode)
