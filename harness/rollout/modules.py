"""Models of transformers that attend to rows of keys and values.

Such a model computes everything but attention itself; during a pass its configuration names `ROWS` as its
attention.

Shape suffixes: T new tokens of all contexts, S contexts, V vocabulary.
"""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedConfig, PreTrainedModel

from harness.rollout.key_values import Pass

ROWS = "creditbench_rows"
"""The name under which transformers knows `attend`."""


def logits(model: PreTrainedModel, ids_T: Tensor, rows: Pass) -> Tensor:
    """Logits (S, V) after the last of each context's new tokens (T,)."""
    with _attention_over_rows(model.config):
        output = model(
            input_ids=ids_T[None],
            position_ids=rows.position_T[None],
            use_cache=False,
            logits_to_keep=rows.last_S,
            rows_pass=rows,
        )
    logits_SV: Tensor = output.logits[0]
    return logits_SV


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    rows_pass: Pass,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """transformers' attention interface; all tokens of the pass are one row of a batch."""
    assert sliding_window is None, "a window would need a mask of its own"
    number = module.layer_idx
    assert isinstance(number, int)
    return rows_pass.attend(number, query[0], key[0], value[0], scaling)[None], None


AttentionInterface.register(ROWS, attend)


@contextlib.contextmanager
def _attention_over_rows(config: PreTrainedConfig) -> Iterator[None]:
    """Let the models of this configuration attend to rows; training's attention is restored at the end."""
    before, config._attn_implementation = config._attn_implementation, ROWS
    try:
        yield
    finally:
        config._attn_implementation = before
