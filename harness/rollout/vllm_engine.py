"""`engine=vllm`: vLLM generates, in this process, on a copy of the weights that each sync hands over.

vLLM does not give the entropy of the whole vocabulary, so every finished response is scored by the policy.
That also tells how far the two are apart: same tokens, same weights, other kernels. The record keeps vLLM's
log-probabilities: they are those that sampled.

Shape suffixes: T sampled tokens of many responses, L of one.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from copy import copy
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.policy.gpt2 import GPT2, Policy
from harness.policy.rows import Rows, logprobs
from harness.rng import philox, purpose_key
from harness.rollout.engine import Engine, Generation, Request, Usage

BLOCK_TOKENS = 32
"""Prompts are shared in whole blocks; vLLM's own default on CPUs is 128."""
MEMORY_SHARE = 0.3
"""Of the device's memory, for weights and what passes need. The cache's size is given."""
SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # in this process, so that weights are handed over without copies
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "1",  # tensors as arguments of calls inside this process
}


class VllmEngine(Engine):
    """Samples with vLLM."""

    def __init__(
        self,
        model: Policy,
        end_id: int,
        longest_prompt: int,
        longest_response: int,
        cache_tokens: int,
    ) -> None:
        """`cache_tokens`: tokens whose keys and values the cache has room for."""
        self.model, self.end_id = model, end_id
        self.longest_response, self.longest = longest_response, longest_prompt + longest_response
        self.cache_tokens = cache_tokens
        self._vllm = start(model, self.longest, cache_tokens)
        self._forget()

    def _forget(self) -> None:
        """Begin without generations."""
        self._started: dict[str, Generation] = {}
        """The generations in play, by vLLM's name for them."""
        self._names = count()
        self._usage = Usage()
        self._mismatches: list[Tensor] = []
        """Of every token sampled, |vLLM's log-probability - the policy's|, in nats."""

    def sync(self) -> None:
        tensors = [(name, tensor.detach()) for name, tensor in self.model.state_dict().items()]
        self._vllm.collective_rpc("load_policy", args=(tensors,))
        # What was computed with other weights must not be found again.
        if not self._vllm.reset_prefix_cache():
            raise RuntimeError("vLLM kept its cache: weights must not change while tokens are sampled")

    def twin(self, model: Policy) -> "VllmEngine":
        """Another view of the one vLLM that a process can hold: each sync hands it its own weights."""
        other = copy(self)
        other.model = model
        other._forget()
        return other

    def add(self, requests: Sequence[Request], seed: int, purpose: str) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        for request in requests:
            name = str(next(self._names))
            params = SamplingParams(
                temperature=0.0 if request.greedy else 1.0,
                seed=None if request.greedy else request_seed(request, seed, purpose),
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
    def room(self) -> int:
        return self.cache_tokens // self.longest

    @property
    def busy(self) -> bool:
        return bool(self._started)

    def take_usage(self) -> Usage:
        usage, self._usage = self._usage, Usage()
        return usage

    def take_diagnostics(self) -> dict[str, float]:
        """`mismatch_mean`, `mismatch_max`: between vLLM's log-probabilities and the policy's, in nats."""
        mismatch_T, self._mismatches = torch.cat([torch.zeros(0), *self._mismatches]), []
        if not len(mismatch_T):
            return {}
        return {"mismatch_mean": float(mismatch_T.mean()), "mismatch_max": float(mismatch_T.max())}

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
        rows = Rows.of([(each.request.context_ids, tuple(each.ids)) for each in finished])
        logprob_T, entropy_T = logprobs(self.model, rows)
        sampled_T = torch.tensor([each for generation in finished for each in generation.logprobs])
        self._mismatches.append((logprob_T.float() - sampled_T).abs())
        parts = entropy_T.split([len(each.ids) for each in finished])
        for generation, entropy_L in zip(finished, parts, strict=True):
            generation.entropies = entropy_L.tolist()
        self._usage.scored.append(rows)
        self._usage.score_seconds += time.monotonic() - start


def start(model: Policy, longest_context: int, cache_tokens: int) -> Any:
    """vLLM with the architecture of `model`, in the precision that its passes have now."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from vllm import LLM

    weights = next(model.parameters())
    kind, cpu = weights.device.type, weights.device.type == "cpu"
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weights.dtype
    with tempfile.TemporaryDirectory() as folder:
        (model.as_transformers() if isinstance(model, GPT2) else model).save_pretrained(folder)
        return LLM(
            model=folder,
            skip_tokenizer_init=True,
            dtype=str(dtype).removeprefix("torch."),
            max_model_len=longest_context,
            num_gpu_blocks_override=-(-max(cache_tokens, longest_context) // BLOCK_TOKENS) + 1,
            block_size=BLOCK_TOKENS if cpu else None,
            gpu_memory_utilization=MEMORY_SHARE,
            enable_prefix_caching=True,
            # A prompt read in parts winds its seeded generator back, which those of CPUs can't.
            enable_chunked_prefill=not cpu,
            enforce_eager=cpu,
            worker_extension_cls="harness.rollout.vllm_worker.Weights",
            seed=0,
        )


def request_seed(request: Request, seed: int, purpose: str) -> int:
    """A seed that depends on the request's counter alone, not on other requests."""
    counter = np.array([(*request.counter, len(request.kept_ids))], dtype=np.uint64)
    high, low = philox(counter, (seed, purpose_key(purpose)))[0, :2].tolist()
    return int(high) << 31 ^ int(low)  # below 2^63
