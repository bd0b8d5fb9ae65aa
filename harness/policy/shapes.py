"""The shapes of models, so that a plan needs none of their files, and neither torch nor transformers.

Those of the hub models that `sweeps/model/` names are as their configurations on the hub say; a test builds
each architecture from its shape and counts.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from envs.base import EnvironmentSpec
from harness.config.model import PretrainedModel, TinyModel

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class SmallShape:
    """The policy that is made from scratch; fields are named as in transformers' configurations."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    positions: int
    """Tokens of the longest row."""
    model_type: str = "gpt2"
    n_inner: int | None = None
    """Inner width of a layer; None: four times the hidden size."""

    @staticmethod
    def of(model: TinyModel, env: EnvironmentSpec, vocabulary_size: int) -> "SmallShape":
        """The policy that plays an environment in a vocabulary."""
        return SmallShape(
            vocab_size=vocabulary_size,
            hidden_size=model.width,
            num_hidden_layers=model.layers,
            num_attention_heads=model.heads,
            positions=env.max_prompt_tokens + env.longest_response,
        )


Shape = dict[str, int | str | bool]


def qwen2(width: int, inner: int, layers: int, heads: int, keys: int, words: int, tied: bool) -> Shape:
    """A Qwen2.5: `keys` key-value heads, `words` rows of the embedding."""
    return {
        "model_type": "qwen2",
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "vocab_size": words,
        "tie_word_embeddings": tied,
    }


def qwen3(width: int, inner: int, layers: int, heads: int, tied: bool) -> Shape:
    """A Qwen3: its heads are 128 wide, and eight of them are key-value heads."""
    like = qwen2(width, inner, layers, heads, keys=8, words=151936, tied=tied)
    return {**like, "model_type": "qwen3", "head_dim": 128}


SHAPES: dict[str, Shape] = {
    "Qwen/Qwen2.5-0.5B-Instruct": qwen2(896, 4864, 24, 14, 2, 151936, tied=True),
    "Qwen/Qwen2.5-1.5B-Instruct": qwen2(1536, 8960, 28, 12, 2, 151936, tied=True),
    "Qwen/Qwen2.5-7B-Instruct": qwen2(3584, 18944, 28, 28, 4, 152064, tied=False),
    "Qwen/Qwen3-0.6B": qwen3(1024, 3072, 28, 16, tied=True),
    "Qwen/Qwen3-1.7B": qwen3(2048, 6144, 28, 16, tied=True),
    "Qwen/Qwen3-4B": qwen3(2560, 9728, 36, 32, tied=True),
    "Qwen/Qwen3-4B-Instruct-2507": qwen3(2560, 9728, 36, 32, tied=True),
    "Qwen/Qwen3-8B": qwen3(4096, 12288, 36, 32, tied=False),
}


def published_shape(model: PretrainedModel) -> "PreTrainedConfig | None":
    """What the closed forms read of a configuration; None for a model that is not in `SHAPES`."""
    shape = SHAPES.get(model.source)
    return cast("PreTrainedConfig", SimpleNamespace(**shape)) if shape else None


def published_parameters(model: PretrainedModel) -> int:
    """How many numbers a model of `SHAPES` is: matrices, biases and norms."""
    shape = SimpleNamespace(**SHAPES[model.source])
    width, layers, heads = shape.hidden_size, shape.num_hidden_layers, shape.num_attention_heads
    head_dim = getattr(shape, "head_dim", width // heads)
    query, key = heads * head_dim, shape.num_key_value_heads * head_dim
    attention = 2 * width * (query + key)
    # Qwen2.5 has biases on queries, keys and values; Qwen3 norms on queries and keys in their place.
    attention += 2 * head_dim if shape.model_type == "qwen3" else query + 2 * key
    block = attention + 3 * width * shape.intermediate_size + 2 * width
    embeddings = shape.vocab_size * width * (1 if shape.tie_word_embeddings else 2)
    return int(layers * block + embeddings + width)
