"""Small pretrained models as folders: random weights, a byte-pair tokenizer trained here, a chat template."""

from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""As Qwen2.5 and SmolLM2 have it, without their default system message."""
LLAMA = (
    "{{ bos_token }}{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n{{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
"""As Llama 3 has it: the template writes the token that begins a text."""
THINKING = CHATML.replace(
    "{% if add_generation_prompt %}<|im_start|>assistant\n",
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}",
)
"""As Qwen3 has it: the generation prompt holds empty thoughts, which earlier turns do not show."""
TEMPLATES = {
    "qwen2": (CHATML, None, "<|im_end|>"),
    "qwen3": (THINKING, None, "<|im_end|>"),
    "llama": (LLAMA, "<|begin_of_text|>", "<|eot_id|>"),
}
"""By architecture: its template, the token that begins a text, the token that ends a turn."""
SPECIALS = [
    *("<|pad|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>"),
    *("<|end_header_id|>", "<|eot_id|>", "<think>", "</think>"),
]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


@cache
def byte_pairs() -> str:
    """A byte-level tokenizer, as JSON, that has seen this file's words."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([Path(__file__).read_text()], trainer)
    return tokenizer.to_str()


def chat_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    """A tokenizer with the architecture's template; the Llama one begins every text with its first token."""
    template, begin, end = TEMPLATES[architecture]
    backend = Tokenizer.from_str(byte_pairs())
    if begin:
        backend.post_processor = TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, backend.token_to_id(begin))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=begin, eos_token=end, pad_token="<|pad|>", chat_template=template
    )


def save_model(folder: Path, architecture: str, **options: object) -> Path:
    """A model with random weights; its head has more rows than the tokenizer has tokens, as Qwen's have."""
    config = AutoConfig.for_model(architecture, **{**SIZES, "vocab_size": 416, **options})
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    chat_tokenizer(architecture).save_pretrained(folder)
    return folder
