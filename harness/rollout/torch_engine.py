"""`engine=torch`: batched generation on any decoder of transformers, in this process.

For as long as the weights stay, nothing is computed twice. Keys and values are kept, and a new context starts
from the one that shares most with it: an episode's own last step, a sibling's prompt, a branch's parent.
Distributions are kept too, if the vocabulary is small, so that equal contexts need no second look.

Shape suffixes: S distinct contexts, A generations, V vocabulary.
"""

import math
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from harness.policy.gpt2 import GPT2, Policy
from harness.policy.precision import casting_once
from harness.policy.prefixes import TOKEN, ids_of, key_of
from harness.rollout.engine import Engine, Generation, Request, Usage
from harness.rollout.key_values import KeyValues, Pass, Placed
from harness.rollout.row_cache import RowCache
from harness.rollout.sampling import sample, token_uniforms

PASS_TOKENS = 8192
"""Most tokens, padding of queries included, that one pass reads of more than one context."""
PASS_CONTEXTS = 256
"""Most contexts of a pass: a large vocabulary's distributions must not fill the memory."""
KEPT_LOGPROBS = 2**22
"""Most numbers in the distributions that are kept."""


class TorchEngine(Engine):
    """Samples from a model whose weights it shares."""

    def __init__(
        self,
        model: Policy,
        end_id: int,
        longest_prompt: int,
        longest_response: int,
        cache_tokens: int = 2**17,
    ) -> None:
        """`cache_tokens`: tokens whose keys and values the cache has room for."""
        self.model, self.end_id, self.longest_response = model, end_id, longest_response
        self.longest = longest_prompt + longest_response
        self._weights = list(model.parameters())
        self.cache_tokens = cache_tokens
        self._waiting: deque[Generation] = deque()
        self._live: dict[bytes, list[Generation]] = {}
        """The generations in play, by what each continues."""
        self._uniforms: dict[Generation, list[float]] = {}
        """The random numbers of a response's tokens."""
        self._usage = Usage()
        self.sync()

    def sync(self) -> None:
        assert not self.busy, "weights must not change while tokens are sampled"
        self._version = self._weights_version()
        self.release()

    def twin(self, model: Policy) -> "TorchEngine":
        longest_prompt = self.longest - self.longest_response
        return TorchEngine(model, self.end_id, longest_prompt, self.longest_response, self.cache_tokens)

    def release(self) -> None:
        self._cache = RowCache(KeyValues(self.model.config, self._device), self.cache_tokens, self.longest)
        self._known: dict[bytes, Tensor] = {}
        """Log-probabilities (V,) of what follows a context."""

    @property
    def _device(self) -> torch.device:
        return self._weights[0].device

    @property
    def _dtype(self) -> torch.dtype:
        """What the model's products are in now."""
        kind = self._device.type
        return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self._weights[0].dtype

    @property
    def room(self) -> int:
        return self._cache.capacity(self.longest)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._live)

    def add(self, requests: Sequence[Request], seed: int, purpose: str) -> None:
        if self._weights_version() != self._version:
            raise RuntimeError("the weights have changed since the engine's last sync")
        generations = [Generation(request) for request in requests]
        self._waiting += generations
        drawn = token_uniforms(requests, self.longest_response, seed, purpose)
        self._uniforms |= zip(generations, drawn, strict=True)

    def take_usage(self) -> Usage:
        usage, self._usage = self._usage, Usage()
        return usage

    def step(self) -> list[Generation]:
        with casting_once(self._weights):
            return self._step()

    def _step(self) -> list[Generation]:
        start = time.monotonic()
        admitted = self._admit()
        live, self._live = self._live, defaultdict(list)
        known = [key for key in live if key in self._known]
        placed = self._cache.place([key for key in live if key not in self._known])
        self._book(live, admitted, placed)
        finished = []
        for contexts in parts(known):
            logprob_SV = torch.stack([self._known[key] for key in contexts])
            finished += self._sample(contexts, live, logprob_SV)
        for reading in passes(placed):
            finished += self._sample([context.key for context in reading], live, self._read(reading))
        if admitted:
            self._usage.read_seconds += time.monotonic() - start
        return finished

    def _admit(self) -> dict[bytes, int]:
        """Bring generations that wait into play, as far as there is room; how many continue each context."""
        admitted: defaultdict[bytes, int] = defaultdict(int)
        longest, live = 1, sum(map(len, self._live.values()))
        while self._waiting:
            request = self._waiting[0].request
            whole = len(request.prompt_ids) + self.longest_response
            # Each may come to need a row of its own, to its end.
            if self._cache.capacity(max(longest, whole)) <= live:
                break
            longest, live = max(longest, whole), live + 1
            key = key_of(request.context_ids)
            self._live.setdefault(key, []).append(self._waiting.popleft())
            admitted[key] += 1
        assert live, f"cache_tokens={self.cache_tokens} has no room for {whole} tokens"
        self._cache.widen(longest, self._dtype)
        return admitted

    def _book(
        self,
        live: Mapping[bytes, Sequence[Generation]],
        admitted: Mapping[bytes, int],
        placed: Sequence[Placed],
    ) -> None:
        cached = {context.key: context.cached for context in placed}
        for key, generations in live.items():
            length, new = len(key) // TOKEN, admitted.get(key, 0)
            self._usage.context += [length] * new
            self._usage.decode += [length] * (len(generations) - new)
            if new:
                self._usage.read.append((length, cached.get(key, length)))
            else:
                self._usage.decoded += range(cached.get(key, length) + 1, length + 1)
            self._usage.sampled += len(generations)

    def _read(self, contexts: Sequence[Placed]) -> Tensor:
        """Log-probabilities (S, V) of what follows each context."""
        rows = Pass(self._cache.key_values, contexts, self.model.config.num_attention_heads)
        new_T = np.concatenate([ids_of(context.key)[context.cached :] for context in contexts])
        logits_SV = self._logits(torch.from_numpy(new_T.astype(np.int64)).to(self._device), rows)
        assert len(rows.seen) == self.model.config.num_hidden_layers, "a layer attends by other means"
        self._cache.hold(contexts)
        logprob_SV = torch.log_softmax(logits_SV.float(), dim=-1)
        self._known |= zip((context.key for context in contexts), logprob_SV.unbind(), strict=True)
        excess = len(self._known) - KEPT_LOGPROBS // logprob_SV.shape[1]
        for key in list(islice(self._known, max(0, excess))):
            del self._known[key]
        return logprob_SV

    def _logits(self, ids_T: Tensor, rows: Pass) -> Tensor:
        """Logits (S, V) after the last of each context's new tokens (T,)."""
        if isinstance(self.model, GPT2):
            hidden_TW = self.model.base_model.states(ids_T, rows.position_T, rows.read_by)
            logits_SV: Tensor = self.model.lm_head(hidden_TW[rows.last_S])
            return logits_SV
        # Imported late: the small policy needs nothing of transformers.
        from harness.rollout.modules import logits

        return logits(self.model, ids_T, rows)

    def _sample(
        self, contexts: Sequence[bytes], live: Mapping[bytes, Sequence[Generation]], logprob_SV: Tensor
    ) -> list[Generation]:
        """Sample a token of each generation in play after `contexts`; those that are finished."""
        playing = [(index, generation) for index, key in enumerate(contexts) for generation in live[key]]
        index_A = torch.tensor([index for index, _ in playing], device=self._device)
        probability_SV = logprob_SV.exp()
        entropy_S = -(probability_SV * logprob_SV).sum(-1)
        token_A = sample(probability_SV, index_A, self._draws([generation for _, generation in playing]))
        logprob_A = logprob_SV[index_A, token_A].tolist()
        rows = zip(playing, token_A.tolist(), logprob_A, entropy_S[index_A].tolist(), strict=True)
        finished = []
        for (index, generation), token, logprob, entropy in rows:
            generation.ids.append(token)
            generation.logprobs.append(logprob)
            generation.entropies.append(entropy)
            if token == self.end_id or generation.length == self.longest_response:
                del self._uniforms[generation]
                finished.append(generation)
            else:
                self._live[contexts[index] + key_of([token])].append(generation)
        return finished

    def _draws(self, generations: Sequence[Generation]) -> Tensor:
        draws = [
            math.nan if each.request.greedy else self._uniforms[each][len(each.ids)] for each in generations
        ]
        return torch.tensor(draws, dtype=torch.float64, device=self._device)

    def _weights_version(self) -> int:
        return sum(parameter._version for parameter in self._weights)


def parts(contexts: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """At most `PASS_CONTEXTS` at a time."""
    for first in range(0, len(contexts), PASS_CONTEXTS):
        yield contexts[first : first + PASS_CONTEXTS]


def passes(contexts: Sequence[Placed]) -> Iterator[list[Placed]]:
    """What single passes read: contexts with about as many new tokens, in the order of their rows."""
    part: list[Placed] = []
    for context in sorted(contexts, key=lambda context: context.new):
        if len(part) == PASS_CONTEXTS or (part and (len(part) + 1) * context.new > PASS_TOKENS):
            yield sorted(part, key=lambda context: context.row)
            part = []
        part.append(context)
    if part:
        yield sorted(part, key=lambda context: context.row)
