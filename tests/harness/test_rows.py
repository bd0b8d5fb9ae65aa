"""Rows as a prefix tree, against every row alone through the model as it is, in float64."""

from collections.abc import Callable

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, OlmoeConfig, PreTrainedModel, Qwen2Config, Qwen3Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

import harness.policy.rows
from harness.config import PretrainedModel
from harness.policy.lora import add_adapters
from harness.policy.rows import Row, Rows, logprobs, token_logprobs

VOCABULARY = 31
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
CONFIGS: dict[str, Callable[[], object]] = {
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCABULARY,
        n_embd=16,
        n_layer=2,
        n_head=4,
        n_positions=64,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    ),
    "llama": lambda: LlamaConfig(**SMALL, tie_word_embeddings=True),
    "qwen2": lambda: Qwen2Config(**SMALL),
    "qwen3": lambda: Qwen3Config(**SMALL, head_dim=8),
    "olmoe": lambda: OlmoeConfig(
        **SMALL,
        num_experts=4,
        num_experts_per_tok=2,
        experts_implementation="eager",  # the others multiply in fp32 at most
    ),
}
PROMPT = (1, 2, 3, 4)
GROUP: list[Row] = [(PROMPT, (5, 6)), (PROMPT, (5, 7, 8)), (PROMPT, (9,)), (PROMPT, (5, 6))]
TRANSCRIPT: list[Row] = [
    ((1, 2), (3, 4)),
    ((1, 2, 3, 4, 20), (21, 22)),
    ((1, 2, 3, 4, 20, 21, 22, 23), (24, 25, 26)),
]
"""Each prompt is the step before it and something new."""
ROWS: list[Row] = [*GROUP, ((11, 12), (13, 14)), *TRANSCRIPT, ((3,), tuple(range(2, 30))), *TRANSCRIPT[:1]]


@pytest.fixture(params=[*CONFIGS, "llama with LoRA"])
def model(request) -> PreTrainedModel:
    torch.manual_seed(0)
    family, _, adapters = request.param.partition(" with ")
    made = AutoModelForCausalLM.from_config(CONFIGS[family]())
    if adapters:
        add_adapters(made, PretrainedModel(name=family, source="nowhere", lora_rank=2))
    made = made.double()
    for parameter in made.parameters():  # so that no position looks like another
        torch.nn.init.normal_(parameter, std=0.3)
    return made.eval()


def alone(model: PreTrainedModel, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies from one plain pass for each row."""
    logprobs, entropies = [], []
    for prompt, response in rows:
        logits = model(input_ids=torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
        distribution = torch.distributions.Categorical(logits=logits)
        logprobs.append(distribution.log_prob(torch.tensor(response)))
        entropies.append(distribution.entropy())
    return torch.cat(logprobs), torch.cat(entropies)


def gradients(model: PreTrainedModel, logprob_T: torch.Tensor, entropy_T: torch.Tensor) -> torch.Tensor:
    """Of a sum in which every token has its own weight."""
    weight_T = torch.linspace(-1, 1, len(logprob_T), dtype=torch.float64)
    loss = (weight_T * logprob_T).sum() + (weight_T.flip(0) * entropy_T).sum()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts = torch.autograd.grad(loss, trained, allow_unused=True)  # an idle expert
    return torch.cat([part.flatten() for part in parts if part is not None])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_row_is_as_if_alone(model, checkpointing):
    expected = alone(model, ROWS)
    expected_gradient = gradients(model, *expected)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    measured = logprobs(model, Rows.of(ROWS))
    for one, other in zip(measured, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
    # RMSNorm is in fp32 whatever the weights are.
    torch.testing.assert_close(gradients(model, *measured), expected_gradient, atol=2e-6, rtol=1e-5)


def test_other_passes_stay_as_they_were(model):
    """The model that trains is the model that samples: padded batches with a mask, and a cache."""
    ids = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 0, 0]])
    mask = (ids > 0).long()
    before = model(input_ids=ids, attention_mask=mask).logits
    cache = model(input_ids=ids[:, :2]).past_key_values
    logprobs(model, Rows.of(ROWS))
    torch.testing.assert_close(model(input_ids=ids, attention_mask=mask).logits, before, atol=1e-12, rtol=0)
    last = model(input_ids=ids[:1, 2:3], past_key_values=_first_row(cache)).logits[0, 0]
    torch.testing.assert_close(last, before[0, 2], atol=1e-12, rtol=0)


def _first_row(cache):
    cache.batch_select_indices(torch.tensor([0]))
    return cache


def test_what_rows_have_in_common_is_one_position():
    def positions(rows: list[Row]) -> int:
        laid_out = Rows.of(rows)
        sequences = [prompt + response for prompt, response in rows]
        prefixes = {sequence[: n + 1] for sequence in sequences for n in range(len(sequence))}
        assert laid_out.positions == len(prefixes)
        assert laid_out.length_R.tolist() == [len(sequence) for sequence in sequences]
        return laid_out.positions

    assert positions(GROUP) == 4 + 5
    assert positions(TRANSCRIPT) == 11, "one row holds them all"
    assert Rows.of(TRANSCRIPT).length_B.tolist() == [11]
    assert sorted(Rows.of(GROUP).length_B.tolist()) == [5, 6, 7], "equal rows are one"
    assert sorted(Rows.of(GROUP).length_U.tolist()) == [5, 6, 7]
    positions(ROWS)
    # Tokens of one, two and three bytes: rows are sorted by number, whatever the bytes.
    positions([((1, 70000), (2,)), ((1, 256), (3,)), ((1, 70000), (3,)), ((1, 255), (3,)), ((1, 256), (2,))])


def test_chunks_equal_one_piece(model, monkeypatch):
    rows = Rows.of(ROWS)
    whole = logprobs(model, rows)
    expected = gradients(model, *whole)
    rng = torch.get_rng_state()
    monkeypatch.setattr(harness.policy.rows, "MOST_LOGITS", 4 * VOCABULARY)
    chunks = logprobs(model, rows)
    for one, other in zip(chunks, whole, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)
    torch.testing.assert_close(gradients(model, *chunks), expected, atol=1e-11, rtol=1e-11)
    assert torch.equal(torch.get_rng_state(), rng)


def test_chunks_never_hold_all_logits(monkeypatch):
    """The widest tensor that the head's autograd graph keeps has a chunk's rows, not all."""
    monkeypatch.setattr(harness.policy.rows, "MOST_LOGITS", 4 * VOCABULARY)
    model = AutoModelForCausalLM.from_config(CONFIGS["llama"]())
    rows = Rows.of(ROWS)
    hidden_MW = torch.randn(len(rows.target_M), 16, requires_grad=True)
    kept: list[tuple[int, ...]] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(tuple(x.shape)) or x, lambda x: x):
        token_logprobs(model, hidden_MW, rows)
    assert len(rows.target_M) > 8
    assert not [shape for shape in kept if shape[-1:] == (VOCABULARY,)]
