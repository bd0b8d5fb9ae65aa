"""`engine=vllm`: vLLM generates, in this process, on a copy of the weights that it is given after each update.

vLLM does not give the entropy of the whole vocabulary, so every finished response is scored by the policy that is
trained. That also tells how far the two are apart: same tokens, same weights, other kernels.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from harness.errors import UserError
from harness.policy.rows import Rows, logprobs
from harness.rng import philox, purpose_key
from harness.rollout.engine import Engine, Generation, Request, Usage

BLOCK_TOKENS = 32
"""Prompts are shared in whole blocks; vLLM's own default on CPUs is 128."""
MEMORY_SHARE = 0.3
"""Of the device's memory, for weights and what passes need; the rest is the update's. The cache's size is given."""
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that weights are handed over without copies
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",  # tensors as arguments of calls inside this process
}


def check() -> None:
    """Raise `UserError` where vLLM isn't installed."""
    try:
        import vllm  # noqa: F401
    except ImportError as error:
        raise UserError(
            "engine=vllm needs vLLM: pip install 'creditbench[vllm]' for CUDA GPUs, see docs/engines.md for CPUs "
            f"({error})"
        ) from error


class VllmEngine(Engine):
    """Samples with vLLM."""

    def __init__(
        self,
        model: PreTrainedModel,
        end_id: int,
        pad_id: int,
        longest_response: int,
        longest_context: int,
        cache_tokens: int,
    ) -> None:
        """`longest_context`: most tokens of a prompt with its response; `cache_tokens`: room for so many."""
        self.model, self.end_id, self.pad_id = model, end_id, pad_id
        self.longest_response = longest_response
        self._vllm = start(model, longest_context, cache_tokens)
        self._started: dict[str, Generation] = {}
        """The generations in play, by vLLM's name for them."""
        self._names = count()
        self._usage = Usage()
        self._version: int | None = None
        self.mismatch = 0.0
        """Largest difference, in nats, between vLLM's and the policy's log-probability of a sampled token."""

    def sync(self) -> None:
        version = sum(parameter._version for parameter in self.model.parameters())
        if version != self._version:
            tensors = [(name, tensor.detach()) for name, tensor in self.model.state_dict().items()]
            self._vllm.collective_rpc("load_policy", args=(tensors,))
            self._version = version
        # What was computed with other weights must not be found again.
        self._vllm.reset_prefix_cache()

    def add(self, requests: Sequence[Request], seed: int, purpose: str, greedy: bool = False) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for request in requests:
            name = str(next(self._names))
            params = SamplingParams(
                temperature=0.0 if greedy else 1.0,
                seed=None if greedy else request_seed(request, seed, purpose),
                max_tokens=self.longest_response - len(request.kept_ids),
                stop_token_ids=[self.end_id],
                ignore_eos=True,  # the model's own end tokens: ours is named above
                logprobs=0,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            prompt = {"prompt_token_ids": list(request.context_ids)}
            self._vllm.llm_engine.add_request(name, prompt, params)
            self._started[name] = Generation(request)

    @property
    def busy(self) -> bool:
        return bool(self._started)

    def take_usage(self) -> Usage:
        usage, self._usage = self._usage, Usage()
        return usage

    def step(self) -> list[Generation]:
        finished = []
        for output in self._vllm.llm_engine.step():
            if output.finished:
                generation = self._started.pop(output.request_id)
                self._fill(generation, output)
                finished.append(generation)
        self._score(finished)
        return finished

    def _fill(self, generation: Generation, output: Any) -> None:
        sampled = output.outputs[0]
        generation.ids = list(sampled.token_ids)
        generation.logprobs = [
            entry[token].logprob for token, entry in zip(generation.ids, sampled.logprobs, strict=True)
        ]
        context, fed_back = len(generation.request.context_ids), len(generation.ids) - 1
        self._usage.context.append(context)
        self._usage.read.append((context, output.num_cached_tokens or 0))
        positions = range(context + 1, context + 1 + fed_back)
        self._usage.decode += positions
        self._usage.decoded += positions
        self._usage.sampled += len(generation.ids)

    @torch.no_grad()
    def _score(self, finished: Sequence[Generation]) -> None:
        """Entropies by the policy, and how far its log-probabilities are from vLLM's."""
        if not finished:
            return
        start = time.monotonic()
        rows = Rows.of([(each.request.context_ids, tuple(each.ids)) for each in finished], self.pad_id)
        logprob_T, entropy_T = logprobs(self.model, rows)
        sampled_T = torch.tensor([each for generation in finished for each in generation.logprobs])
        self.mismatch = max(self.mismatch, float((logprob_T.cpu().float() - sampled_T).abs().max()))
        parts = entropy_T.cpu().split([len(each.ids) for each in finished])
        for generation, entropy_L in zip(finished, parts, strict=True):
            generation.entropies = entropy_L.tolist()
        self._usage.scored += rows.length_R.tolist()
        self._usage.score_seconds += time.monotonic() - start


def start(model: PreTrainedModel, longest_context: int, cache_tokens: int) -> Any:
    """vLLM with the architecture of `model`; its weights come with the first sync."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    check()
    from vllm import LLM

    cpu = next(model.parameters()).device.type == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return LLM(
            model=folder,
            skip_tokenizer_init=True,
            dtype=str(next(model.parameters()).dtype).removeprefix("torch."),
            max_model_len=longest_context,
            num_gpu_blocks_override=-(-max(cache_tokens, longest_context) // BLOCK_TOKENS) + 1,
            block_size=BLOCK_TOKENS if cpu else None,
            gpu_memory_utilization=MEMORY_SHARE,
            enable_prefix_caching=True,
            enforce_eager=cpu,
            worker_extension_cls="harness.rollout.vllm_worker.Weights",
            seed=0,
        )


def request_seed(request: Request, seed: int, purpose: str) -> int:
    """A seed that depends on the request's counter alone, not on the requests beside it."""
    counter = np.array([(*request.counter, len(request.kept_ids))], dtype=np.uint64)
    high, low = philox(counter, (seed, purpose_key(purpose)))[0, :2].tolist()
    return int(high) << 31 ^ int(low)  # below 2^63
