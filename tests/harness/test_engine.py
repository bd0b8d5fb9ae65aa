"""engine=torch against plain passes of the same models, on every architecture that policies are made of."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from harness.rollout.engine import Generation, Request
from harness.rollout.torch_engine import TorchEngine
from harness.update.optimizer import AdamW

VOCABULARY, END, LONGEST_PROMPT, LONGEST = 61, 2, 200, 6
COMMON = {"vocab_size": VOCABULARY, "initializer_range": 0.3, "bos_token_id": None, "eos_token_id": None}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
MODELS = {
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**COMMON, **GPT2)),
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**COMMON, **SHAPE, tie_word_embeddings=True)),
    "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**COMMON, **SHAPE)),
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**COMMON, **SHAPE, head_dim=16)),
}


def make(name: str = "llama") -> PreTrainedModel:
    torch.manual_seed(3)
    return MODELS[name]().eval()


def engine_of(model: PreTrainedModel, cache_tokens: int = 2**14) -> TorchEngine:
    return TorchEngine(model, END, LONGEST_PROMPT, LONGEST, cache_tokens)


def words(draw: np.random.Generator, count: int) -> tuple[int, ...]:
    return tuple(draw.integers(3, VOCABULARY, count).tolist())


def transcripts(engine: TorchEngine, episodes: int, steps: int) -> list[Generation]:
    """Episodes whose prompts grow by the response and an observation; two of each prompt at the start."""
    draws = [np.random.default_rng(episode) for episode in range(episodes)]
    prompts = [
        words(np.random.default_rng(episode // 2), 9 + 5 * (episode // 2)) for episode in range(episodes)
    ]
    played = []
    for step in range(steps):
        requests = [Request(prompt, (), (7, episode, step)) for episode, prompt in enumerate(prompts)]
        generations, _ = engine.generate(requests, 1, "test")
        prompts = [
            (*generation.request.prompt_ids, *generation.ids, *words(draw, int(draw.integers(1, 9))))
            for generation, draw in zip(generations, draws, strict=True)
        ]
        played += generations
    return played


@torch.no_grad()
def teacher_forced(model: PreTrainedModel, generation: Generation) -> tuple[list[float], list[float]]:
    """Log-probabilities and entropies of one response, by a plain pass over all of it."""
    context = generation.request.context_ids
    logits = model(input_ids=torch.tensor([[*context, *generation.ids]])).logits[0, len(context) - 1 : -1]
    logprob = torch.log_softmax(logits.double(), -1)
    sampled = logprob[torch.arange(len(generation.ids)), generation.ids]
    return sampled.tolist(), (-(logprob.exp() * logprob).sum(-1)).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_sampled_logprobs_are_those_of_a_plain_pass(name):
    """Over growing transcripts, with groups that share a prompt and then part: 1e-4 in single precision."""
    model = make(name)
    played = transcripts(engine_of(model), episodes=8, steps=4)
    assert {len(generation.ids) for generation in played} >= {LONGEST}
    for generation in played:
        logprobs, entropies = teacher_forced(model, generation)
        np.testing.assert_allclose(generation.logprobs, logprobs, atol=1e-4)
        np.testing.assert_allclose(generation.entropies, entropies, atol=1e-4)
    assert model.config._attn_implementation == "sdpa", "training attends as before"


@pytest.mark.parametrize("name", MODELS)
def test_greedy_tokens_are_those_of_transformers(name):
    model = make(name)
    draw = np.random.default_rng(0)
    prompts = [words(draw, count) for count in (5, 17, 30)]
    likeliest = [Request(prompt, (), (0, len(prompt), 0), greedy=True) for prompt in prompts]
    sampled = [Request(prompt, (), (0, len(prompt), 0)) for prompt in prompts]
    generations, _ = engine_of(model).generate([*likeliest, *sampled], 1, "test")
    alone, _ = engine_of(model).generate(sampled, 1, "test")
    assert [each.ids for each in generations[3:]] == [each.ids for each in alone]
    for generation in generations[:3]:
        prompt = torch.tensor([generation.request.prompt_ids])
        told = model.generate(
            input_ids=prompt, max_new_tokens=LONGEST, do_sample=False, eos_token_id=END, pad_token_id=0
        )
        assert generation.ids == told[0, prompt.shape[1] :].tolist()


@pytest.mark.parametrize("name", MODELS)
def test_company_and_cache_do_not_change_a_request(name):
    """Alone on a cold cache, in company, and where rows are so few that requests wait and contexts go."""
    model = make(name)
    together = transcripts(engine_of(model), episodes=6, steps=3)
    crowded = transcripts(engine_of(model, cache_tokens=2 * (LONGEST_PROMPT + LONGEST)), episodes=6, steps=3)
    for generation, waited in zip(together, crowded, strict=True):
        (alone,), _ = engine_of(model).generate([generation.request], 1, "test")
        assert alone.ids == generation.ids == waited.ids
        np.testing.assert_allclose(alone.logprobs, generation.logprobs, atol=1e-5)
        np.testing.assert_allclose(waited.logprobs, generation.logprobs, atol=1e-5)


def read(engine: TorchEngine, requests: Sequence[Request]) -> tuple[list[Generation], list[tuple[int, int]]]:
    generations, usage = engine.generate(requests, 1, "test")
    return generations, usage.read


def test_a_growing_transcript_is_read_from_where_it_grew():
    engine = engine_of(make())
    prompt = words(np.random.default_rng(0), 40)
    (first,), usage = read(engine, [Request(prompt, (), (0, 0, 0))])
    assert usage == [(40, 0)]
    longer = (*prompt, *first.ids, 5, 6, 7)
    _, usage = read(engine, [Request(longer, (), (0, 0, 1))])
    # The last sampled token was never fed back.
    assert usage == [(len(longer), len(longer) - 4)]


def test_a_group_reads_its_prompt_once_and_parts_where_its_tokens_do():
    engine = engine_of(make())
    prompt = words(np.random.default_rng(0), 40)
    generations, usage = engine.generate([Request(prompt, (), (0, r, 0)) for r in range(8)], 1, "test")
    assert usage.context == [40] * 8
    assert usage.read == [(40, 0)]
    fed = [len(generation.ids) - 1 for generation in generations]
    assert len(usage.decode) == sum(fed)
    beginnings = {
        tuple(g.ids[:n]) for g, count in zip(generations, fed, strict=True) for n in range(1, count + 1)
    }
    assert len(usage.decoded) == len(beginnings) < sum(fed)


def test_a_branch_starts_from_its_parents_context():
    """Its prompt and its kept tokens were read when the parent played, and only the last one is looked at."""
    engine = engine_of(make())
    prompt = words(np.random.default_rng(0), 40)
    (parent,), _ = read(engine, [Request(prompt, (), (0, 0, 0))])
    read(engine, [Request((*prompt, *parent.ids, 9, 9, 9), (), (0, 0, 1))])
    kept = tuple(parent.ids[:3])
    length = 40 + len(kept)
    (branch,), usage = read(engine, [Request(prompt, kept, (0, 1, 0))])
    assert usage in ([(length, length - 1)], [(length, length)])
    (alone,), _ = read(engine_of(engine.model), [Request(prompt, kept, (0, 1, 0))])
    assert branch.ids == alone.ids


def test_equal_contexts_are_not_computed_again():
    engine = engine_of(make())
    request = Request(words(np.random.default_rng(0), 40), (), (0, 0, 0))
    (first,), _ = read(engine, [request])
    (again,), usage = engine.generate([request], 1, "test")
    assert again.ids == first.ids
    assert usage.read == [(40, 40)]
    assert usage.decoded == []
    assert len(usage.decode) == len(first.ids) - 1


@pytest.mark.parametrize("name", MODELS)
def test_a_weight_update_leaves_nothing_behind(name):
    """After it, an engine that has played gives the numbers of one that never has, to the bit."""
    model = make(name)
    engine = engine_of(model)
    before = transcripts(engine, episodes=4, steps=2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    engine.sync()
    after, fresh = transcripts(engine, 4, 2), transcripts(engine_of(model), 4, 2)
    assert [g.ids for g in after] == [g.ids for g in fresh]
    assert [g.logprobs for g in after] == [g.logprobs for g in fresh]
    assert [g.logprobs for g in after] != [g.logprobs for g in before]


def test_a_twin_samples_from_its_own_model():
    """As an engine made for that model does, whatever the first one does between."""
    engine, other = engine_of(make()), make()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)
    twin = engine.twin(other)
    own = transcripts(engine, episodes=4, steps=2)
    for _ in range(2):
        expected = transcripts(engine_of(other), episodes=4, steps=2)
        assert [g.logprobs for g in transcripts(twin, episodes=4, steps=2)] == [g.logprobs for g in expected]
        twin.sync()
        engine.sync()
        assert [g.logprobs for g in transcripts(engine, 4, 2)] == [g.logprobs for g in own]
    assert [g.logprobs for g in own] != [g.logprobs for g in expected]


def test_weights_that_changed_unannounced_are_refused():
    """By the learner's own optimiser, whose fused step does not raise the tensors' versions by itself."""
    model = make()
    engine = engine_of(model)
    optimizer = AdamW(weight_decay=0.01)
    optimizer.add(model.parameters(), lr=1e-3)
    for _ in range(2):
        transcripts(engine, episodes=2, steps=1)
        model(input_ids=torch.tensor([[5, 6]])).logits.sum().backward()
        optimizer.step(grad_clip=1.0)
        with pytest.raises(RuntimeError, match="weights have changed"):
            transcripts(engine, episodes=2, steps=1)
        engine.sync()


def test_the_cache_never_outgrows_its_tokens():
    engine = engine_of(make(), cache_tokens=1000)
    assert engine.room == 1000 // (LONGEST_PROMPT + LONGEST)
    for seed in range(3):
        draw = np.random.default_rng(seed)
        requests = [Request(words(draw, int(draw.integers(1, 200))), (), (seed, r, 0)) for r in range(20)]
        engine.generate(requests, 1, "test")
        layer = engine._cache.key_values.layers[0]
        assert layer.shape[1] * layer.shape[3] <= 1000
    engine.release()
    assert engine._cache.key_values.layers[0].numel() == 0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_bfloat16_under_autocast(name):
    """Keys and values are bfloat16; what is sampled agrees with the trainer's pass to its rounding."""
    model = make(name)
    with torch.autocast("cpu", torch.bfloat16):
        engine = engine_of(model)
        played = transcripts(engine, episodes=4, steps=2)
        assert engine._cache.key_values.dtype is torch.bfloat16
        for generation in played:
            logprobs, _ = teacher_forced(model, generation)
            np.testing.assert_allclose(generation.logprobs, logprobs, atol=0.1)


def copies_of(engine: TorchEngine, requests: Sequence[Request]) -> tuple[list[Generation], int]:
    """What is generated, and how many tensors were copied meanwhile, casts among them."""
    with torch.profiler.profile() as profiler:
        generations, _ = engine.generate(requests, 1, "test")
    return generations, sum(e.count for e in profiler.key_averages() if e.key == "aten::copy_")


@pytest.mark.parametrize("frozen", [False, True])
def test_weights_are_cast_once_for_all_passes(frozen):
    """Not once a pass: the second half of a response copies fewer tensors than the model has weights."""
    model = make()
    model.requires_grad_(not frozen)
    engine = engine_of(model)
    weights = sum(parameter.ndim == 2 for parameter in model.parameters())
    requests = [Request(words(np.random.default_rng(seed), 9), (), (seed, 0, 0)) for seed in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        first, before = copies_of(engine, requests)
        engine.release()
        again, after = copies_of(engine, requests)
    assert [g.ids for g in again] == [g.ids for g in first]
    assert [g.logprobs for g in again] == [g.logprobs for g in first]
    assert before - after >= weights - 1, "all but the embedding were cast in the first response alone"
    assert {parameter.requires_grad for parameter in model.parameters()} == {not frozen}
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        plain, _ = engine_of(model).generate(requests, 1, "test")
    assert [g.ids for g in plain] == [g.ids for g in first]
    assert [g.logprobs for g in plain] == [g.logprobs for g in first]
