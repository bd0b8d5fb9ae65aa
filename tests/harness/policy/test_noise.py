"""Nothing that a model does in training mode alone reaches a run: sampling and training are one function."""

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.config import PretrainedModel
from harness.ledger.flops import ARCHITECTURES
from harness.policy.model import checkpointed, load_pretrained
from harness.policy.rows import Rows, logprobs
from harness.run import Run
from harness.store import RunDir
from tests.harness.policy.folders import SIZES, chat_tokenizer
from tests.harness.policy.test_pretrained import GRPO, SMALL, compose_run

NOISE = {
    "attention_dropout": 0.5,
    "router_jitter_noise": 0.5,
    "attn_pdrop": 0.5,
    "resid_pdrop": 0.5,
    "embd_pdrop": 0.5,
}
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "pad_token_id": 0,
}
GPT2_SIZES = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 4096}
ROWS = [((1, 2, 3, 4), (5, 6, 7)), ((1, 2, 8), (9, 10))]


def noisy(folder: Path, architecture: str) -> Path:
    """A model with random weights, and all the noise that its configuration has a name for."""
    known = AutoConfig.for_model(architecture).to_dict()
    wanted = {**SIZES, **GPT2_SIZES, "vocab_size": 416, **EXPERTS, **NOISE}
    config = AutoConfig.for_model(
        architecture, **{name: each for name, each in wanted.items() if name in known}
    )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    chat_tokenizer("qwen2").save_pretrained(folder)
    return folder


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_training_and_sampling_are_one_function(architecture, checkpointing, tmp_path):
    model = PretrainedModel(source="of the test", checkpointing=checkpointing)
    policy = load_pretrained(model, noisy(tmp_path, architecture), seed=0)
    with torch.no_grad():
        sampled_T, _ = logprobs(policy, Rows.of(ROWS))
    gradients = []
    for _ in range(2):
        policy.zero_grad()
        with checkpointed(policy):
            trained_T, _ = logprobs(policy, Rows.of(ROWS))
        trained_T.sum().backward()
        assert torch.equal(trained_T.detach(), sampled_T)
        gradients.append(torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None]))
    assert torch.equal(*gradients)
    policy.train()
    assert not torch.equal(logprobs(policy, Rows.of(ROWS))[0], sampled_T), "there is noise to be seen"


@pytest.mark.parametrize("architecture", ["mixtral", "gpt2"])
def test_at_learning_rate_0_the_ratio_is_1(architecture, tmp_path):
    folder = noisy(tmp_path / "model", architecture)
    overrides = [*SMALL, *GRPO, f"model.source={folder}", "model.lr=0", "model.max_prompt_tokens=900"]
    cell = compose_run([*overrides, "batch.minibatches=2", "model.weight_decay=0"])
    run_dir = RunDir.create(tmp_path, cell)
    Run(cell, run_dir, tmp_path).finish()
    rows = [json.loads(line) for line in run_dir.metrics.open()]
    trained = [row for row in rows if row["kind"] == "train"]
    assert trained
    for row in trained:
        assert row["clip_fraction"] == 0
        assert row["ratio"] == pytest.approx(1.0, abs=1e-4)
