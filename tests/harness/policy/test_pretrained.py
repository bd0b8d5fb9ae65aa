"""Pretrained models through whole runs: small random ones of three architectures, loaded from folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.compose import compose_run
from harness.config import RunConfig
from harness.errors import UserError
from harness.ledger import Phase
from harness.planning.disk import checkpoint_bytes, critic_weights
from harness.planning.disk import weights as stored_weights
from harness.planning.predict import check_budget, forms, predict
from harness.policy.model import HeadCritic, every_weight, fingerprint, weights
from harness.policy.precision import Placement, multiplies_bf16
from harness.run import Run
from harness.store import RunDir, read_json
from tests.harness.policy.folders import TEMPLATES, save_model

SMALL = [
    *("model=pretrained", "env=household", "env.horizon=8", "env.train_tasks=2", "env.eval_tasks=1"),
    *("env.history=3", "batch.trajectories=4", "batch.minibatches=1", "budget.axis=trajectories"),
    *("budget.limit=8", "evaluation.points=1", "evaluation.window=1", "evaluation.episodes=1"),
    *("model.max_action_tokens=4", "model.lr=1e-3", "model.critic_lr=1e-3", "model.precision=fp32"),
]
GRPO = ["algorithm=grpo", "algorithm.rollouts=2"]
HEAD = ["algorithm=ppo", "model.critic=head"]
ADAPTED = ["model.lora_rank=2", "model.lora_alpha=4"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("models")
    tied = {"qwen2": True, "qwen3": True, "llama": False}
    return {name: save_model(out / name, name, tie_word_embeddings=tied[name]) for name in TEMPLATES}


@pytest.fixture
def qwen2(folders):
    return folders["qwen2"]


def config(folder: Path, *overrides: str) -> RunConfig:
    return compose_run([*SMALL, f"model.source={folder}", *overrides])


def start(cell: RunConfig, out: Path) -> Run:
    return Run(cell, RunDir.create(out, cell), out)


def trained(cell: RunConfig, out: Path) -> Run:
    """A run after one iteration. Rewards may be zero, so a value head must not start at zero."""
    run = start(cell, out)
    if isinstance(run.learner.critic, HeadCritic):
        run.learner.critic.head.bias.data.fill_(0.5)
    run._iterate()
    return run


@pytest.mark.parametrize("architecture", TEMPLATES)
def test_a_run_from_end_to_end(architecture, folders, tmp_path):
    cell = config(folders[architecture], *GRPO)
    run = start(cell, tmp_path)
    published = AutoModelForCausalLM.from_pretrained(folders[architecture], dtype=torch.float32)
    assert fingerprint(run.learner.policy) == fingerprint(published)
    result = run.finish()
    rows = [json.loads(line) for line in run.run_dir.metrics.open()]
    assert [row["kind"] for row in rows] == ["evaluation", "train", "train", "evaluation"]
    assert all(row["dropped_turns"] == row["cut_tokens"] == 0 for row in rows)
    assert result["placement"] == "cpu, fp32"
    assert read_json(run.run_dir.result)["ledger"]["phases"]["warm_start"]["flops"] == 0
    assert not list(tmp_path.glob("warmstarts/*")), "a pretrained model needs none"


@pytest.mark.parametrize("architecture", TEMPLATES)
def test_sampled_logprobs_are_those_that_are_trained_on(architecture, folders, tmp_path):
    run = start(config(folders[architecture], *GRPO), tmp_path)
    episodes = run.sampler.play_roots(range(2))
    scored_T = run.learner.score([e.trajectory() for e in episodes], run.learner.policy, Phase.evaluation)
    sampled_T = np.concatenate([step.logprob_L for e in episodes for step in e.steps])
    np.testing.assert_allclose(scored_T, sampled_T, atol=1e-5)


def test_with_all_of_the_history_episodes_are_one_growing_transcript(qwen2, tmp_path):
    run = start(config(qwen2, *GRPO, "env.history=100"), tmp_path)
    for episode in run.sampler.play_roots(range(2)):
        for before, after in zip(episode.steps, episode.steps[1:], strict=False):
            seen = before.prompt_ids + before.response_ids
            assert after.prompt_ids[: len(seen)] == seen


@pytest.mark.parametrize(
    "overrides", [GRPO, HEAD, ["algorithm=ppo"], [*HEAD, *ADAPTED]], ids=["grpo", "head", "critic", "lora"]
)
def test_a_resumed_run_ends_with_the_same_bytes(overrides, qwen2, tmp_path):
    cell = config(qwen2, *overrides)
    calm = start(cell, tmp_path / "calm")
    calm.finish()
    killed = start(cell, tmp_path / "killed")
    killed._resume()
    killed._evaluate(0)
    killed._iterate()
    killed._checkpoint()
    killed._iterate()
    start(cell, tmp_path / "killed").finish()
    assert killed.run_dir.metrics.read_bytes() == calm.run_dir.metrics.read_bytes()


@pytest.mark.parametrize("architecture", TEMPLATES)
@pytest.mark.parametrize(
    "overrides", [["algorithm=ppo"], HEAD, [*HEAD, *ADAPTED], ["algorithm=ppo", *ADAPTED]]
)
def test_plans_know_the_compute_and_the_disk(architecture, overrides, folders, tmp_path):
    cell = config(folders[architecture], *overrides)
    run = start(cell, tmp_path)
    learner = run.learner
    assert forms(cell) == learner.policy_forms
    assert forms(cell, outputs=1) == learner.critic_forms
    assert stored_weights(cell) == sum(tensor.numel() for tensor in weights(learner.policy).values())
    critic = sum(tensor.numel() for tensor in weights(learner.critic).values())
    assert critic <= critic_weights(cell)
    run._iterate()
    assert 0.3 * predict(cell).flops < run.ledger.spent("flops") <= 1.1 * predict(cell).flops
    run._checkpoint()
    (folder,) = run.run_dir.complete_checkpoints()
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    # Headers and AdamW's counters weigh something in a model of 40 kB.
    assert size < checkpoint_bytes(cell) + 40_000
    untied = architecture == "llama" and not cell.model.lora_rank
    assert size > (0.7 if untied else 0.95) * checkpoint_bytes(cell)


def test_budgets_below_one_iteration_are_refused(qwen2):
    cell = config(qwen2, *GRPO, "budget.axis=flops", "budget.limit=1e6")
    with pytest.raises(UserError, match="less than one iteration of grpo"):
        check_budget(cell)


def test_arms_share_the_start(qwen2, tmp_path):
    hashes = {
        start(config(qwen2, *overrides), tmp_path).start_hash for overrides in (GRPO, HEAD, ["algorithm=ppo"])
    }
    assert len(hashes) == 1
    adapted = {start(config(qwen2, *o, *ADAPTED), tmp_path).start_hash for o in (GRPO, HEAD)}
    assert len(adapted) == 1
    assert hashes != adapted
    assert start(config(qwen2, *GRPO, *ADAPTED, "seed=1"), tmp_path).start_hash not in adapted


def test_a_head_trains_the_trunk_and_books_no_second_model(qwen2, tmp_path):
    """Its training costs 6 x width a token beside the policy's own pass."""
    learner = trained(config(qwen2, *HEAD, "algorithm.entropy_coef=0"), tmp_path).learner
    entries = learner.ledger.entries
    width = learner.policy.config.hidden_size
    assert entries[Phase.critic_train].flops == 6 * width * entries[Phase.critic_train].tokens > 0
    assert entries[Phase.critic_train].tokens == entries[Phase.actor_train].tokens
    trunk = learner.policy_forms.matmul_params - width * learner.policy.config.vocab_size
    assert learner.critic_forms.matmul_params == trunk + width
    assert learner.critic.head.weight.abs().max() > 0
    assert set(weights(learner.critic)) == {"head.weight", "head.bias"}


def test_a_heads_loss_reaches_the_trunk(qwen2, tmp_path):
    """With a head, the policy's gradient depends on the value coefficient; without rewards on it alone."""
    norms = []
    for coefficient in (0.0, 0.5):
        cell = config(qwen2, *HEAD, f"model.value_coef={coefficient}", "budget.limit=4")
        run = start(cell, tmp_path / str(coefficient))
        run.learner.critic.head.weight.data.fill_(0.1)
        run._iterate()
        rows = [json.loads(line) for line in run.run_dir.metrics.open()]
        norms.append(rows[-1]["grad_norm"])
    assert norms[0] != norms[1]


def test_adapters_are_trained_and_nothing_else(qwen2, tmp_path):
    run = start(config(qwen2, *HEAD, *ADAPTED), tmp_path)
    before = {name: tensor.clone() for name, tensor in every_weight(run.learner.policy).items()}
    published = every_weight(AutoModelForCausalLM.from_pretrained(qwen2, dtype=torch.float32))
    for name, tensor in published.items():
        adapted = before.get(name, before.get(name.replace(".weight", ".base_layer.weight")))
        biased = before.get(name.replace(".bias", ".base_layer.bias"))
        assert torch.equal(tensor, adapted if adapted is not None else biased), name
    run._iterate()
    after = every_weight(run.learner.policy)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    assert set(weights(run.learner.policy)) == {name for name in before if "lora_" in name}
    full = forms(config(qwen2, *HEAD)).train([100])
    assert run.learner.policy_forms.train([100]) < full


def test_unknown_adapter_targets_are_one_line(qwen2, tmp_path):
    cell = config(qwen2, *GRPO, *ADAPTED, "model.lora_targets=[no_proj]")
    with pytest.raises(UserError, match="LoRA needs a rank above 0 and targets among"):
        forms(cell)


def test_checkpointed_activations_give_the_same_update_for_more_work(qwen2, tmp_path):
    runs = [
        trained(config(qwen2, "algorithm=ppo", f"model.checkpointing={on}"), tmp_path / on)
        for on in ("false", "true")
    ]
    left, right = (every_weight(run.learner.policy) for run in runs)
    for name in left:
        torch.testing.assert_close(left[name], right[name], atol=1e-6, rtol=1e-5)
    plain, again = (run.ledger.entries for run in runs)
    for phase in (Phase.actor_train, Phase.critic_train):
        assert plain[phase].flops == again[phase].flops
        assert plain[phase].computed < again[phase].computed


def test_bf16_keeps_fp32_weights_and_values(qwen2, tmp_path, monkeypatch):
    """Emulated where the hardware has none: the numbers are the same, only slower."""
    monkeypatch.setattr("harness.policy.precision.multiplies_bf16", lambda device: True)
    run = trained(config(qwen2, *HEAD, "model.precision=bf16"), tmp_path)
    assert str(run.learner.placement) == "cpu, bf16 autocast"
    assert {tensor.dtype for tensor in run.learner.policy.state_dict().values()} == {torch.float32}
    with run.learner.placement.autocast():
        product = run.learner.policy.get_output_embeddings()(torch.ones(1, 32))
    assert product.dtype == torch.bfloat16
    episodes = run.sampler.play_roots(range(2))
    scored_T = run.learner.score([e.trajectory() for e in episodes], run.learner.policy, Phase.evaluation)
    sampled_T = np.concatenate([step.logprob_L for e in episodes for step in e.steps])
    np.testing.assert_allclose(scored_T, sampled_T, atol=0.05)


def test_what_the_machine_has_not_got_is_refused(qwen2):
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="torch finds no CUDA device here"):
            Placement.of(config(qwen2, *GRPO, "model.device=cuda").model)
    if not multiplies_bf16(torch.device("cpu")):
        with pytest.raises(UserError, match="would emulate it: choose precision=auto"):
            Placement.of(config(qwen2, *GRPO, "model.device=cpu", "model.precision=bf16").model)
    assert not Placement.of(config(qwen2, *GRPO, "model.device=cpu").model).bf16


def test_a_warm_start_may_teach_a_pretrained_model_the_format(qwen2, tmp_path):
    cell = config(qwen2, *GRPO, "model.clone_updates=2", "model.clone_steps=10")
    run = start(cell, tmp_path)
    assert run.ledger.entries[Phase.warm_start].tokens > 0
    assert len(list(tmp_path.glob("warmstarts/*/model.safetensors"))) == 1
    assert start(cell, tmp_path).start_hash == run.start_hash
    published = AutoModelForCausalLM.from_pretrained(qwen2, dtype=torch.float32)
    assert fingerprint(published) != run.start_hash


def test_an_architecture_without_closed_forms_is_refused(tmp_path):
    folder = save_model(tmp_path / "gemma", "qwen2")
    plain = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**plain, "model_type": "gemma"}))
    with pytest.raises(UserError, match="no closed form for model_type 'gemma'"):
        predict(config(folder, *GRPO))
