"""Which engine a run generates with, and what it needs."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness.config import PretrainedModel, RunConfig, TinyModel
from harness.config.schema import Engine as EngineName
from harness.errors import UserError, require

if TYPE_CHECKING:
    from harness.policy.gpt2 import Policy
    from harness.policy.prompting import Prompting
    from harness.rollout.engine import Engine


SMALLEST_VLLM_HEAD = 32
"""Numbers of an attention head, on CPUs; vLLM 0.32 has no kernel for smaller ones there."""


def check_engine(config: RunConfig) -> None:
    """Raise `UserError` unless the engine is installed and can run the model.

    Imports neither torch nor an engine.
    """
    if config.engine.name is not EngineName.vllm:
        return
    model = config.model
    require(
        model.gpus == 1,
        f"engine=vllm generates on one device, model.gpus={model.gpus}: choose engine=torch",
    )
    if isinstance(model, TinyModel):
        require(
            model.width >= SMALLEST_VLLM_HEAD * model.heads,
            f"engine=vllm has no attention for heads of {model.width // model.heads} numbers, "
            f"model.width={model.width} / model.heads={model.heads}: {SMALLEST_VLLM_HEAD} are the fewest",
        )
    if isinstance(model, PretrainedModel):
        require(
            not model.lora_rank,
            f"engine=vllm takes no LoRA adapters, model.lora_rank={model.lora_rank}: choose engine=torch",
        )
    if not find_spec("vllm"):
        raise UserError(
            "engine=vllm: vllm isn't installed: pip install 'creditbench[vllm]', CPUs: docs/engines.md"
        )


def make_engine(config: RunConfig, policy: "Policy", prompts: "Prompting") -> "Engine":
    """The run's engine, to be made in the autocast of the run's passes. vLLM takes half a minute to start."""
    check_engine(config)
    longest, tokens = (config.longest_prompt, config.longest_response), config.engine.cache_tokens
    if config.engine.name is EngineName.vllm:
        from harness.rollout.vllm_engine import VllmEngine

        return VllmEngine(policy, prompts.end_id, *longest, tokens)
    from harness.rollout.torch_engine import TorchEngine

    return TorchEngine(policy, prompts.end_id, *longest, tokens)
