"""Which engine a run generates with, and what it needs."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness.config.schema import Engine as EngineName
from harness.config.schema import EngineConfig, RunConfig
from harness.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from harness.policy.prompting import Prompting
    from harness.rollout.engine import Engine


def check_engine(config: EngineConfig) -> None:
    """Raise `UserError` where the engine isn't installed. Imports neither torch nor an engine."""
    if config.name is EngineName.vllm and not find_spec("vllm"):
        raise UserError(
            "engine=vllm: vllm isn't installed: pip install 'creditbench[vllm]', CPUs: docs/engines.md"
        )


def make_engine(config: RunConfig, policy: "PreTrainedModel", prompts: "Prompting") -> "Engine":
    """The run's engine, to be made in the autocast of the run's passes. vLLM takes half a minute to start."""
    check_engine(config.engine)
    longest, tokens = (config.longest_prompt, config.longest_response), config.engine.cache_tokens
    if config.engine.name is EngineName.vllm:
        from harness.rollout.vllm_engine import VllmEngine

        return VllmEngine(policy, prompts.end_id, *longest, tokens)
    from harness.rollout.torch_engine import TorchEngine

    return TorchEngine(policy, prompts.end_id, *longest, tokens)
