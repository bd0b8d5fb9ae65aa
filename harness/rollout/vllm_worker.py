"""What `engine=vllm` adds to vLLM's worker: taking the policy's weights. Imported by vLLM, by name."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor


class Weights:
    """Mixed into vLLM's worker class."""

    model_runner: Any
    model_config: Any
    reload_weights: Any

    def load_policy(self, tensors: Sequence[tuple[str, Tensor]]) -> None:
        """Replace the weights by these, named as transformers names them."""
        tied = getattr(self.model_config.hf_config, "tie_word_embeddings", False)
        named = [(name, tensor) for name, tensor in tensors if not (tied and name == "lm_head.weight")]
        self.reload_weights(weights_iterator=iter(named))
        head: Any = getattr(self.model_runner.model, "lm_head", None)
        # On CPUs the head keeps a packed copy of the embedding, which the reload does not renew: without
        # this, logits come from old weights, and nothing says so (vLLM 0.32).
        if tied and hasattr(head, "cpu_linear"):
            from vllm.model_executor.layers.utils import dispatch_cpu_unquantized_gemm

            head.weight = embedding(self.model_runner.model).weight
            dispatch_cpu_unquantized_gemm(head, remove_weight=False)


def embedding(model: Any) -> Any:
    """The module of the input embeddings, whatever its family calls it."""
    trunk = getattr(model, "model", None) or model.transformer
    return getattr(trunk, "embed_tokens", None) or trunk.wte
