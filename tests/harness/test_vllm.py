"""engine=vllm samples from the policy that is trained, before and after its weights change.

Runs where vLLM is installed (`make test-vllm`: an environment of its own, see docs/engines.md).
"""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen3Config

pytest.importorskip("vllm")

from harness.compose import compose_run
from harness.ledger import Phase
from harness.policy.rows import Rows, logprobs
from harness.rollout.engine import Request
from harness.rollout.torch_engine import TorchEngine
from harness.rollout.vllm_engine import VllmEngine, request_seed
from harness.run import Run
from harness.store import RunDir

END, VOCABULARY, LONGEST = 1, 300, 12
TOLERANCE = 1e-4
"""Nats, in single precision: other kernels, other order of sums."""
SHARED = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "eos_token_id": None,
}
CONFIGS = {"llama": LlamaConfig, "qwen3": Qwen3Config}


@pytest.fixture(scope="module", params=CONFIGS)
def pair(request):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[request.param](**SHARED), dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # the usual start is so flat that wrong weights could pass
    engine = VllmEngine(model, END, 256 - LONGEST, LONGEST, cache_tokens=8192)
    engine.sync()
    return model, engine


def requests(number: int, length: int, kept: int = 0) -> list[Request]:
    random = np.random.default_rng(length)
    prompt = tuple(random.integers(2, VOCABULARY, length).tolist())
    return [Request(prompt, prompt[:kept], (7, rollout, 0)) for rollout in range(number)]


def scored(model, generations) -> tuple[np.ndarray, np.ndarray]:
    rows = Rows.of([(each.request.context_ids, tuple(each.ids)) for each in generations])
    with torch.no_grad():
        logprob_T, entropy_T = logprobs(model, rows)
    return logprob_T.numpy(), entropy_T.numpy()


def assert_agrees(model, engine, asked) -> None:
    generations, usage = engine.generate(asked, 3, "test")
    logprob_T, entropy_T = scored(model, generations)
    np.testing.assert_allclose(np.concatenate([g.logprobs for g in generations]), logprob_T, atol=TOLERANCE)
    np.testing.assert_allclose(np.concatenate([g.entropies for g in generations]), entropy_T, atol=TOLERANCE)
    assert usage.sampled == len(logprob_T)
    for generation in generations:
        whole = len(generation.ids) + len(generation.request.kept_ids)
        assert whole == LONGEST or generation.ids[-1] == END
        assert END not in generation.ids[:-1]


def test_log_probabilities_agree_before_and_after_every_update(pair):
    model, engine = pair
    asked = requests(16, 40)
    assert_agrees(model, engine, asked)
    for _ in range(2):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        engine.take_diagnostics()
        engine.generate(asked, 3, "test")
        assert engine.take_diagnostics()["mismatch_max"] > 10 * TOLERANCE, (
            "the update is big enough to be seen"
        )
        engine.sync()
        assert_agrees(model, engine, asked)
        assert engine.take_diagnostics()["mismatch_max"] < TOLERANCE


def test_more_prompts_than_one_pass_reads(pair):
    model, engine = pair
    distinct = [replace(requests(1, length)[0], counter=(8, length, 0)) for length in range(180, 210)]
    assert sum(len(each.prompt_ids) for each in distinct) > 4096, "vLLM reads so many tokens at once"
    assert_agrees(model, engine, distinct)


def test_a_twin_shares_the_machine_and_not_the_weights(pair):
    model, engine = pair
    other = deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    twin, asked = engine.twin(other), requests(8, 40)
    for each, its in ((twin, other), (engine, model), (twin, other)):
        each.sync()
        assert_agrees(its, each, asked)
        assert each.take_diagnostics()["mismatch_max"] < TOLERANCE
    engine.sync()


def test_a_prompt_is_read_once_and_forgotten_with_the_weights(pair):
    """A cache that outlives its weights is a known fault elsewhere."""
    _, engine = pair
    asked = requests(4, 100)
    engine.sync()
    for expected in (0, 96):
        _, usage = engine.generate(asked[:1], 3, "test")
        assert usage.read == [(100, expected)]
    engine.sync()
    assert engine.generate(asked[:1], 3, "test")[1].read == [(100, 0)]


def test_a_request_gets_the_same_alone_and_in_company(pair):
    _, engine = pair
    asked = requests(8, 30, kept=3)
    together, _ = engine.generate(asked, 3, "test")
    alone = [engine.generate([each], 3, "test")[0][0] for each in asked]
    assert [each.ids for each in alone] == [each.ids for each in together]
    assert len({tuple(each.ids) for each in together}) > 1
    other, _ = engine.generate(asked, 4, "test")
    assert [each.ids for each in other] != [each.ids for each in together]


def test_greedy_is_what_the_torch_engine_says(pair):
    model, engine = pair
    asked = [replace(each, greedy=True) for each in requests(2, 20) + requests(2, 50)]
    torch_engine = TorchEngine(model, END, 256 - LONGEST, LONGEST)
    expected, _ = torch_engine.generate(asked, 3, "test")
    found, _ = engine.generate(asked, 3, "test")
    assert [each.ids for each in found] == [each.ids for each in expected]


def test_seeds_depend_on_every_part_of_the_counter():
    counters = [(draw, rollout, step) for draw in range(20) for rollout in range(20) for step in range(20)]
    seeds = {request_seed(Request((1,), (), each), 0, "rollout") for each in counters}
    assert len(seeds) == len(counters)
    assert max(seeds) < 2**63


@pytest.mark.parametrize("overlap", [False, True])
def test_a_run_reports_how_far_the_engine_is_from_the_policy(overlap, tmp_path):
    """At learning rate 0 nothing else can move a ratio from 1."""
    config = compose_run(
        [
            *("engine=vllm", "model.heads=2", "model.lr=0", "algorithm=grpo", "model.clone_updates=0"),
            *("batch.trajectories=32", "budget.axis=trajectories", "budget.limit=64", "env.horizon=8"),
            *("evaluation.points=1", "evaluation.window=1", "env.eval_tasks=2"),
            f"rollout.overlap={overlap}",
        ]
    )
    run = Run(config, RunDir.create(tmp_path, config), tmp_path)
    run.finish()
    rows = [json.loads(line) for line in run.run_dir.metrics.open()]
    assert [row["kind"] for row in rows] == ["evaluation", "train", "train", "evaluation"]
    for row in rows:
        assert 0 < row["mismatch_mean"] < row["mismatch_max"] < TOLERANCE
    for row in rows[1:3]:
        assert abs(row["ratio"] - 1) < TOLERANCE
        assert row["clip_fraction"] == 0
    scored = run.ledger.entries[Phase.score_sampled]
    trained = run.ledger.entries[Phase.actor_train]
    assert scored.tokens == trained.tokens
    assert 3 * scored.flops == trained.flops
