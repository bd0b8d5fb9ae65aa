"""Closed forms against torch's counter, to the last operation.

What the counter sees depends on the kernels. Fused attention counts as zero on CPUs: hence the MATH backend,
which computes the full square. Experts by `grouped_mm`, transformers' default, count as zero: hence `eager`
ones, which multiply what was routed to each. Where a wrong formula could hide, a tiny model's sizes differ.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig
from transformers.pytorch_utils import Conv1D

from algorithms.factors import KLEstimator
from algorithms.grpo import GRPO
from envs.vault import VaultSpec
from harness.config import BatchConfig, PretrainedModel, TinyModel
from harness.errors import UserError
from harness.ledger import Ledger, Phase, TransformerFlops
from harness.ledger.flops import ARCHITECTURES, LoRA
from harness.policy.gpt2 import Affine
from harness.policy.lora import add_adapters
from harness.policy.model import Critic, checkpoint_activations, checkpointed, closed_forms, new_policy
from harness.policy.rows import Rows, logprobs
from harness.rollout.account import Account
from harness.rollout.engine import Request
from harness.rollout.torch_engine import TorchEngine
from harness.update.learner import Learner

GPT2 = {"model_type": "gpt2", "vocab_size": 47, "n_embd": 40, "n_layer": 3, "n_head": 10}
DECODER = {
    "vocab_size": 47,
    "hidden_size": 40,
    "intermediate_size": 34,
    "num_hidden_layers": 3,
    "num_attention_heads": 10,
    "num_key_value_heads": 5,
}
"""Heads of four, two of them to a key head."""
EXPERTS = {"num_experts": 7, "num_experts_per_tok": 2, "moe_intermediate_size": 22}
QWEN3_MOE = DECODER | EXPERTS | {"model_type": "qwen3_moe", "head_dim": 6}
CONFIGS = {
    "gpt2": GPT2 | {"n_inner": 34},
    "gpt2, MLP of four widths": GPT2,
    "llama": DECODER | {"model_type": "llama", "tie_word_embeddings": False},
    "llama, a key head for each head": DECODER | {"model_type": "llama", "num_key_value_heads": None},
    "smollm2": DECODER
    | {"model_type": "llama", "hidden_size": 36, "num_attention_heads": 9, "num_key_value_heads": 3}
    | {"num_hidden_layers": 4, "tie_word_embeddings": True},
    "mistral": DECODER | {"model_type": "mistral", "head_dim": 6, "sliding_window": None},
    "olmo2": DECODER | {"model_type": "olmo2"},
    "qwen2": DECODER | {"model_type": "qwen2"},
    "qwen3": DECODER | {"model_type": "qwen3", "head_dim": 6, "tie_word_embeddings": True},
    "smollm3": DECODER | {"model_type": "smollm3", "pad_token_id": 0},
    "mixtral": DECODER | {"model_type": "mixtral", "num_local_experts": 7, "num_experts_per_tok": 2},
    "olmoe": DECODER | {"model_type": "olmoe", "num_experts": 7, "num_experts_per_tok": 4},
    "qwen2_moe": DECODER | EXPERTS | {"model_type": "qwen2_moe", "shared_expert_intermediate_size": 26},
    "qwen3_moe": QWEN3_MOE,
    "qwen3_moe, experts in the second layer only": QWEN3_MOE | {"decoder_sparse_step": 2},
    "qwen3_moe, no experts in the first layer": QWEN3_MOE | {"mlp_only_layers": [0]},
}


def config_of(name: str) -> PreTrainedConfig:
    return AutoConfig.for_model(**CONFIGS[name])


@pytest.fixture(params=CONFIGS)
def decoder(request):
    config = config_of(request.param)
    experts = {"experts_implementation": "eager"} if hasattr(config, "num_experts_per_tok") else {}
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config, attn_implementation="sdpa", **experts)


@pytest.fixture
def forms(decoder) -> TransformerFlops:
    return TransformerFlops.of(decoder.config)


@pytest.fixture(params=[(1, 32, 2), (2, 64, 4)])
def policy(request):
    layers, width, heads = request.param
    return new_policy(TinyModel(layers=layers, width=width, heads=heads), VaultSpec(), 50, seed=0)


def counted(run: Callable[[], object]) -> int:
    """Operations of `run`; rotary angles, which older transformers (5.15) take from a product, left out."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run()
    rotary = [ops for name, ops in counter.get_flop_counts().items() if name.endswith("rotary_emb")]
    return counter.get_total_flops() - sum(sum(ops.values()) for ops in rotary)


def tokens(rows: int, length: int) -> Tensor:
    """Different tokens, so that experts differ."""
    return torch.arange(rows * length).reshape(rows, length) % 47


def full_square(forms: TransformerFlops, rows: int, new: int) -> int:
    """What the counter sees beyond the causal half: 4A (p - q) p - 2A (p^2 - q^2) = 2A (p - q)^2.

    For whole rows (q = 0) as much as the closed form's own attention: the full square doubles it.
    """
    return 2 * forms.attention * rows * new**2


def test_every_known_architecture_is_counted_here():
    assert {fields["model_type"] for fields in CONFIGS.values()} == set(ARCHITECTURES)


def test_forward(decoder, forms):
    measured = counted(lambda: decoder(input_ids=tokens(3, 17), use_cache=False))
    assert measured == forms.forward([17] * 3) + full_square(forms, 3, 17)


def test_training(decoder, forms):
    measured = counted(lambda: decoder(input_ids=tokens(2, 9), use_cache=False).logits.sum().backward())
    assert measured == forms.train([9] * 2) + 3 * full_square(forms, 2, 9)


@torch.no_grad()
def test_prefill(decoder, forms):
    measured = counted(lambda: decoder(input_ids=tokens(3, 17), use_cache=True))
    assert measured == forms.prefill([17] * 3, 0) + full_square(forms, 3, 17)


@torch.no_grad()
def test_prefill_after_a_cached_prefix(decoder, forms):
    ids = tokens(3, 17)
    cache = decoder(input_ids=ids[:, :11], use_cache=True).past_key_values
    measured = counted(lambda: decoder(input_ids=ids[:, 11:], past_key_values=cache, use_cache=True))
    assert measured == forms.prefill([17] * 3, [11] * 3) + full_square(forms, 3, 17 - 11)


@torch.no_grad()
def test_decoding_with_a_cache(decoder, forms):
    """One query attends to exactly what the closed form says: nothing to convert."""
    measured = 0
    for context in (2, 7, 19):
        ids = tokens(2, context)
        cache = decoder(input_ids=ids[:, :-1], use_cache=True).past_key_values
        step = {"input_ids": ids[:, -1:], "past_key_values": cache, "use_cache": True}
        measured += counted(lambda step=step: decoder(**step))
    assert measured == forms.decode([2, 2, 7, 7, 19, 19])


@torch.no_grad()
def test_the_head_counts_for_every_token(decoder, forms):
    """A prefill needs the logits of the last token only; the closed form is nominal and counts all."""
    measured = counted(lambda: decoder(input_ids=tokens(3, 17), use_cache=True, logits_to_keep=1))
    head = 2 * decoder.config.hidden_size * decoder.config.vocab_size
    assert measured == forms.prefill([17] * 3, 0) + full_square(forms, 3, 17) - 3 * 16 * head


class Adapted(nn.Module):
    """A layer with a low-rank adapter, as peft makes it."""

    def __init__(self, base: nn.Module, rank: int) -> None:
        super().__init__()
        outputs, inputs = base.weight.T.shape if isinstance(base, Conv1D) else base.weight.shape
        self.base, self.down = base, nn.Linear(inputs, rank, bias=False)
        self.up = nn.Linear(rank, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + self.up(self.down(x))


def adapt(decoder: nn.Module, lora: LoRA) -> None:
    """Freeze the decoder and put adapters beside the targets."""
    decoder.requires_grad_(False)
    for parent in list(decoder.modules()):
        for name, layer in list(parent.named_children()):
            if name in lora.targets:
                setattr(parent, name, Adapted(layer, lora.rank))


def loras(decoder: nn.Module) -> list[LoRA]:
    """A few targets, all linear layers, and the head on top."""
    linear = {
        name.rsplit(".")[-1]
        for name, layer in decoder.named_modules()
        if isinstance(layer, (nn.Linear, Conv1D)) and "lm_head" not in name
    }
    few = ("c_attn",) if "c_attn" in linear else ("q_proj", "v_proj")
    return [LoRA(11, few), LoRA(13, tuple(linear)), LoRA(17, (*few, "lm_head"))]


@pytest.mark.parametrize("choice", [0, 1, 2])
def test_lora(decoder, choice):
    lora = loras(decoder)[choice]
    forms = TransformerFlops.of(decoder.config, lora=lora)
    adapt(decoder, lora)
    decoder.enable_input_require_grads()
    measured = counted(lambda: decoder(input_ids=tokens(2, 9), use_cache=False))
    assert measured == forms.forward([9] * 2) + full_square(forms, 2, 9)
    measured = counted(lambda: decoder(input_ids=tokens(2, 9), use_cache=False).logits.sum().backward())
    assert measured == forms.train([9] * 2) + 3 * full_square(forms, 2, 9)


@torch.no_grad()
def test_lora_when_decoding(decoder):
    lora = loras(decoder)[0]
    adapt(decoder, lora)
    cache = decoder(input_ids=tokens(2, 11), use_cache=True).past_key_values
    measured = counted(lambda: decoder(input_ids=tokens(2, 1), past_key_values=cache, use_cache=True))
    assert measured == TransformerFlops.of(decoder.config, lora=lora).decode([12, 12])


@pytest.mark.parametrize("decoder", ["llama", "qwen3", "qwen3_moe"], indirect=True)
def test_lora_without_the_first_layers_input_gradient(decoder):
    config, lora = decoder.config, LoRA(11, ("q_proj", "k_proj", "v_proj"))
    forms = TransformerFlops.of(config, lora=lora)
    adapt(decoder, lora)
    measured = counted(lambda: decoder(input_ids=tokens(2, 9), use_cache=False).logits.sum().backward())
    projected = (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
    spared = 2 * config.hidden_size * (projected + 3 * lora.rank)
    assert measured == forms.train([9] * 2) + 3 * full_square(forms, 2, 9) - spared * 2 * 9


def test_a_trained_policy_and_its_critic_by_counting_weights(policy):
    """The numbers that runs have been booked with: the weights of all linear layers, layers x width."""
    for model in (policy, Critic(policy)):
        layers = [layer for layer in model.modules() if isinstance(layer, (nn.Linear, Affine))]
        n = sum(layer.weight.numel() for layer in layers)
        a = policy.config.num_hidden_layers * policy.config.hidden_size
        forms = closed_forms(model, policy.config)
        assert (forms.matmul_params, forms.attention, forms.adapter_params) == (n, a, 0)
        assert forms.head == layers[-1].weight.numel()


def test_a_critic_is_counted_with_its_scalar_head(policy):
    forms = closed_forms(Critic(policy), policy.config)
    critic = Critic(policy.as_transformers())

    def run() -> None:
        critic.values(
            critic.backbone(input_ids=tokens(2, 9), use_cache=False).last_hidden_state
        ).sum().backward()

    assert counted(run) == forms.train([9] * 2) + 3 * full_square(forms, 2, 9)


@pytest.mark.parametrize(
    ("published", "vocabulary", "width", "inner", "layers", "heads", "key_heads"),
    [
        pytest.param(134_515_008, 49152, 576, 1536, 30, 9, 3, id="SmolLM2-135M"),
        pytest.param(1_235_814_400, 128256, 2048, 8192, 16, 32, 8, id="Llama-3.2-1B"),
    ],
)
def test_published_sizes(published, vocabulary, width, inner, layers, heads, key_heads):
    """huggingface.co's parameter counts. The heads are tied: all but the norms' weights multiply a token."""
    config = AutoConfig.for_model(
        "llama",
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
    )
    assert TransformerFlops.of(config).matmul_params == published - (2 * layers + 1) * width


def test_sums_over_rows():
    forms = TransformerFlops.of(config_of("qwen3"))
    assert forms.forward([3, 5]) == forms.forward([3]) + forms.forward([5])
    assert forms.prefill([9, 8], [3, 5]) == forms.prefill([9], [3]) + forms.prefill([8], [5])
    assert forms.forward([9]) == forms.forward([4]) + forms.prefill([9], [4])


def test_packed_rows_are_counted_by_their_own_squares():
    """Brute force: 4A for each pair of a block-diagonal causal mask; closed forms leave out 2A a token."""
    forms, lengths = TransformerFlops.of(config_of("qwen3")), [3, 5, 8]
    row_T = np.repeat(range(3), lengths)
    pairs = sum(row_T[i] == row_T[j] for i in range(16) for j in range(i + 1))
    brute = 2 * forms.matmul_params * 16 + 4 * forms.attention * int(pairs)
    assert forms.forward(lengths) == brute - 2 * forms.attention * 16
    assert forms.train(lengths) == 3 * forms.forward(lengths)
    assert forms.forward([16]) - forms.forward(lengths) == 2 * forms.attention * (16**2 - 3**2 - 5**2 - 8**2)


@pytest.mark.parametrize("decoder", ["gpt2", "llama", "qwen2", "qwen3", "olmoe"], indirect=True)
def test_a_prefix_tree_is_counted_by_its_positions_and_paths(decoder, forms):
    """Linear layers see each position once, the head what is predicted, attention each path's own square."""
    prompt = tuple(range(2, 9))
    rows = Rows.of([(prompt, (9, 10)), (prompt, (9, 11, 12)), (prompt, (13,)), ((*prompt, 9, 10), (14, 15))])
    assert (rows.positions, sorted(rows.length_B)) == (7 + 7, [8, 10, 11])
    head = 2 * decoder.config.hidden_size * decoder.config.vocab_size
    unread = head * (rows.positions - len(rows.target_M))
    squares = sum(full_square(forms, *shape) for shape in rows.paths.shapes)
    causal = sum(2 * forms.attention * int(n) ** 2 for n in rows.length_B)
    computed = forms.forward(rows.length_B, rows.positions) - unread - causal + 2 * squares
    assert counted(lambda: logprobs(decoder, rows)) == computed
    assert counted(lambda: logprobs(decoder, rows)[0].sum().backward()) == 3 * computed
    assert forms.train(rows.length_B, rows.positions) == 3 * forms.forward(rows.length_B, rows.positions)
    nominal = forms.forward(rows.length_R)
    assert nominal == sum(forms.forward([n]) for n in (9, 10, 8, 11)), "as if nothing were shared"
    assert forms.forward(rows.length_B, rows.positions) < nominal


def test_decoding_a_row_token_by_token_is_its_forward_pass():
    forms = TransformerFlops.of(config_of("qwen3"))
    assert forms.decode(range(1, 18)) == forms.forward([17]) + 2 * forms.attention * 17
    assert forms.decode([12]) == forms.prefill([12], [11]) + 2 * forms.attention


def test_large_counts_do_not_overflow():
    forms = TransformerFlops(matmul_params=70 * 10**9, attention=80 * 8192)
    assert forms.train([32768] * 1024) == 6 * 1024 * (70 * 10**9 * 32768 + 80 * 8192 * 32768**2)


@pytest.mark.parametrize(
    ("model_type", "fields", "message"),
    [
        ("bert", {}, "no closed form for model_type 'bert'; known: gpt2, llama"),
        ("mistral", {}, "sliding-window attention"),
        ("qwen2", {"use_sliding_window": True, "max_window_layers": 1}, "sliding-window attention"),
    ],
)
def test_what_is_not_known_is_refused(model_type, fields, message):
    with pytest.raises(UserError, match=message) as error:
        TransformerFlops.of(AutoConfig.for_model(model_type, **fields))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("lora", [LoRA(3, ("c_attn",)), LoRA(3, ()), LoRA(0, ("q_proj",))])
def test_adapters_that_do_not_fit_are_refused(lora):
    with pytest.raises(UserError, match="targets among down_proj, gate_proj, k_proj, lm_head"):
        TransformerFlops.of(config_of("llama"), lora=lora)


PROMPTED = [
    ((1, 2, 3, 4, 5, 6), (7, 8, 9)),
    ((1, 2, 3, 10, 11, 12), (13, 14, 15)),
    ((4, 5, 6, 7), (1, 2, 3, 4, 5)),
]
"""Rows of nine tokens, of which two share their first three."""


def full_squares(forms: TransformerFlops) -> int:
    """What the counter sees of `PROMPTED` beyond the causal half."""
    return full_square(forms, len(PROMPTED), 9)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("targets", [(), ("down_proj",), ("q_proj", "o_proj")])
@pytest.mark.parametrize("decoder", CONFIGS, indirect=True)
def test_what_training_really_computes(decoder, targets, chunks, checkpointing, monkeypatch):
    """A pass over a prefix tree and back, with logits in chunks and with checkpointed blocks."""
    config = decoder.config
    if targets and (config.model_type == "gpt2" or hasattr(config, "num_experts_per_tok")):
        pytest.skip("has not these layers, or experts that are adapted by other means")
    model = PretrainedModel(
        source="of the test", lora_rank=3 if targets else 0, lora_targets=targets or ("x",)
    )
    if targets:
        add_adapters(decoder, model)
        # Else the first block's input needs no gradient, which the closed forms count.
        decoder.enable_input_require_grads()
    if checkpointing:
        checkpoint_activations(decoder)
    monkeypatch.setattr("harness.policy.rows.MOST_LOGITS", (4 if chunks else 100) * config.vocab_size)
    decoder.eval()
    algorithm = GRPO(kl_coef=0.0, kl_estimator=KLEstimator.none)
    learner, rows = Learner(decoder, algorithm, model, BatchConfig(), 9, Ledger()), Rows.of(PROMPTED)

    def step() -> None:
        with checkpointed(learner.trained_policy):
            logprob_T, entropy_T = learner.trained_policy(rows)
        (logprob_T.sum() + entropy_T.sum()).backward()

    squares = (4 if checkpointing else 3) * full_squares(learner.policy_forms)
    assert learner._computed(rows, learner.policy_forms) + squares == counted(step)


@torch.no_grad()
def test_what_scoring_really_computes(policy):
    """The head reads the positions that predict a response."""
    rows, forms = Rows.of(PROMPTED), TransformerFlops.of(policy.config)
    measured = counted(lambda: logprobs(policy, rows))
    assert forms.forward(rows.length_B, rows.positions, rows.predicted) + full_squares(forms) == measured


def test_what_the_engine_really_computes(policy):
    """The head reads the last position of a prompt alone, and every token that is fed back."""
    forms, ledger = TransformerFlops.of(policy.config), Ledger()
    engine = TorchEngine(policy, end_id=0, longest_prompt=20, longest_response=1)
    requests = [Request(ids, (), (0, i, 0)) for i, ids in enumerate([(1, 2, 3, 4, 5), (6, 7, 8, 9, 10)])]
    measured = counted(lambda: engine.add(requests, 0, "test") or engine.step())
    Account(ledger, forms, Phase.decode).generated(engine.take_usage())
    assert sum(entry.computed for entry in ledger.entries.values()) + full_square(forms, 2, 5) == measured
    assert sum(entry.flops for entry in ledger.entries.values()) == forms.forward([5, 5])
