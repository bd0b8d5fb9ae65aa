"""How fast engines play: growing transcripts of 64 episodes x 10 steps, one engine after the other.

    OMP_NUM_THREADS=1 python -m benchmarks.rollouts            # model=tiny and SmolLM2-135M
    OMP_NUM_THREADS=1 python -m benchmarks.rollouts tiny       # or smollm2; tiny: growth and branching too

Contestants: engine=torch; `generate` of transformers on each step's whole prompt, left-padded, which is what
step-wise frameworks do; TRL's loop over turns and engine=vllm, where they are installed. All get prompts of
the same lengths and sample the same number of tokens; all but TRL return log-probabilities and entropies of
their samples. Before it is timed, an engine's log-probabilities are checked against a teacher-forced pass.
Seconds are the process's processor seconds.
"""

import resource
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.lengths import Lengths
from benchmarks.machine import seconds
from envs.vault import VaultSpec
from harness.compose import compose_run
from harness.config import TinyModel
from harness.config.schema import SMALLEST_VLLM_HEAD
from harness.policy.gpt2 import GPT2, Policy
from harness.policy.model import new_policy
from harness.policy.precision import Placement
from harness.policy.rows import Rows, logprobs
from harness.rollout.engine import Engine, Request
from harness.rollout.torch_engine import TorchEngine
from harness.update.warm_start import untrained

EPISODES = 64
OBSERVATIONS = (24, 96)
"""Tokens: short ones, and those of text worlds."""
NO_END, PAD = -1, 0
REPEATS = 2
CPU = torch.device("cpu")
BRANCHES = 3
"""Continuations of each of the 4 roots of 16 trajectories."""

Ids = tuple[int, ...]
Generate = Callable[[Sequence[Ids], int], list[tuple[Ids, list[float]]]]
"""(prompts, step) -> the response and its log-probabilities for each."""


@dataclass(frozen=True)
class Subject:
    """A model to sample from, and the precision of its passes."""

    name: str
    model: Policy
    vocabulary: int
    longest: int

    def passes(self) -> AbstractContextManager[object]:
        """Where its passes are made."""
        return nullcontext()


class Bf16(Subject):
    """A model whose matrix products are in bf16."""

    def passes(self) -> AbstractContextManager[object]:
        return torch.autocast("cpu", torch.bfloat16)


def tiny(longest: int) -> Subject:
    """model=tiny with room for `longest` tokens."""
    spec = VaultSpec(max_prompt_tokens=longest)
    vocabulary = 64
    return Subject("tiny", new_policy(TinyModel(), spec, vocabulary, seed=0), vocabulary, longest)


def smollm2(longest: int) -> Subject:
    """SmolLM2-135M, in bf16 where the hardware has it."""
    config = compose_run(["model=smollm2_135m", "algorithm=grpo"])
    model, _ = untrained(config)
    kind = Bf16 if Placement.of(config.model).bf16 else Subject
    return kind("SmolLM2-135M", model, 40_000, longest)


def generate_of(engine: Engine) -> Generate:
    """An engine of ours as a contestant."""

    def generate(prompts: Sequence[Ids], step: int) -> list[tuple[Ids, list[float]]]:
        requests = [Request(ids, (), (0, episode, step)) for episode, ids in enumerate(prompts)]
        generations, _ = engine.generate(requests, 0, "benchmark")
        return [(generation.response_ids, generation.logprobs) for generation in generations]

    return generate


def transformers_model(policy: Policy) -> PreTrainedModel:
    """The policy as other libraries take it."""
    return policy.as_transformers() if isinstance(policy, GPT2) else policy


def generate_of_transformers(model: PreTrainedModel, response: int) -> Generate:
    """`model.generate` on every step's whole prompt."""

    @torch.inference_mode()
    def generate(prompts: Sequence[Ids], step: int) -> list[tuple[Ids, list[float]]]:
        torch.manual_seed(step)
        longest = max(map(len, prompts))
        ids_NL = torch.tensor([[PAD] * (longest - len(ids)) + list(ids) for ids in prompts])
        mask_NL = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
        output = model.generate(  # type: ignore[operator]  # transformers wraps it
            ids_NL,
            attention_mask=mask_NL,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=1.0,
            max_new_tokens=response,
            eos_token_id=None,
            pad_token_id=PAD,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logprob_NLV = torch.stack(output.logits, dim=1).float().log_softmax(-1)
        sampled_NL = output.sequences[:, longest:]
        chosen_NL = logprob_NLV.gather(-1, sampled_NL[..., None]).squeeze(-1)
        _ = -(logprob_NLV.exp() * logprob_NLV).sum(-1)  # entropies, as engine=torch gives them
        return [
            (tuple(ids), found) for ids, found in zip(sampled_NL.tolist(), chosen_NL.tolist(), strict=True)
        ]

    return generate


def play(generate: Generate, vocabulary: int, lengths: Lengths, episodes: int = EPISODES) -> float:
    """Processor seconds of playing."""
    draw = np.random.default_rng(0)

    def words(count: int) -> Ids:
        return tuple(draw.integers(1, vocabulary, count).tolist())

    prompts = [words(lengths.prompt) for _ in range(episodes)]
    start = seconds(CPU)
    for step in range(lengths.steps):
        answers = generate(prompts, step)
        assert all(len(answer) == lengths.response for answer, _ in answers)
        prompts = [
            (*ids, *answer, *words(lengths.observation))
            for ids, (answer, _) in zip(prompts, answers, strict=True)
        ]
    return seconds(CPU) - start


def check(subject: Subject, generate: Generate) -> float:
    """The largest difference of a sampled log-probability from the teacher-forced one, in nats."""
    draw = np.random.default_rng(1)
    prompts = [tuple(draw.integers(1, subject.vocabulary, 40 + i).tolist()) for i in range(4)]
    answers = generate(prompts, 0)
    rows = Rows.of([(ids, answer) for ids, (answer, _) in zip(prompts, answers, strict=True)])
    with torch.no_grad():
        expected_T, _ = logprobs(subject.model, rows)
    found_T = np.concatenate([found for _, found in answers])
    return float(np.abs(expected_T.float().numpy() - found_T).max())


def engine_of(subject: Subject, lengths: Lengths, episodes: int = EPISODES) -> TorchEngine:
    """engine=torch with room for `episodes` at once."""
    prompt = subject.longest - lengths.response
    return TorchEngine(subject.model, NO_END, prompt, lengths.response, episodes * subject.longest)


def contestants(subject: Subject, lengths: Lengths) -> dict[str, tuple[Generate, Callable[[], None]]]:
    """By name: how each samples, and what it does before a batch."""
    ours = engine_of(subject, lengths)
    found = {
        "engine=torch": (generate_of(ours), ours.sync),
        "transformers generate": (
            generate_of_transformers(transformers_model(subject.model), lengths.response),
            lambda: None,
        ),
    }
    heads = subject.model.config.hidden_size // subject.model.config.num_attention_heads
    if find_spec("vllm") and heads >= SMALLEST_VLLM_HEAD:
        from harness.rollout.vllm_engine import VllmEngine

        prompt, room = subject.longest - lengths.response, EPISODES * subject.longest
        seldom = subject.model.config.vocab_size - 1  # vLLM's end must exist; `play` checks the lengths
        vllm = VllmEngine(subject.model, seldom, prompt, lengths.response, room)
        found["engine=vllm"] = (generate_of(vllm), vllm.sync)
    return found


def compare(subject: Subject, lengths: Lengths) -> None:
    """Print the tokens a second of all contestants: the best of `REPEATS` rounds."""
    took: dict[str, float] = {}
    notes: dict[str, str] = {}
    with subject.passes():
        playing = contestants(subject, lengths)
        for name, (generate, prepare) in playing.items():
            prepare()
            notes[name] = f"log-probabilities within {check(subject, generate):.0e} nats"
        for _ in range(REPEATS):
            for name, (generate, prepare) in playing.items():
                prepare()
                spent = play(generate, subject.vocabulary, lengths)
                took[name] = min(spent, took.get(name, spent))
            if find_spec("trl"):
                from benchmarks.trl_episodes import play as play_trl

                spent = play_trl(
                    deepcopy(transformers_model(subject.model)), lengths, EPISODES
                )  # it changes the configuration
                took["TRL"] = min(spent, took.get("TRL", spent))
    tokens = EPISODES * lengths.steps * lengths.response
    print(f"\n{subject.name}: {EPISODES} episodes, {lengths}")
    for name, spent in took.items():
        ratio = f"engine=torch is {spent / took['engine=torch']:4.1f} x as fast"
        print(f"  {name:<22}{tokens / spent:>8.0f} tokens/s   {ratio}   {notes.get(name, '')}", flush=True)


def growth() -> None:
    """Print engine=torch's time and memory over episodes and steps."""
    print("\nengine=torch on model=tiny, growth: tokens/s (peak memory of the process so far, MB)")
    for steps in (2, 10, 50):
        lengths = Lengths(steps)
        subject = tiny(lengths.longest)
        cells = []
        for episodes in (8, 64, 256, 1024):
            engine = engine_of(subject, lengths, episodes)
            spent = play(generate_of(engine), subject.vocabulary, lengths, episodes)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            cells.append(
                f"{episodes} episodes {episodes * steps * lengths.response / spent:.0f} ({memory:.0f})"
            )
        print(f"  {steps:>2} steps: " + ", ".join(cells), flush=True)


def branching() -> None:
    """Print what prefixes spare: 16 trajectories, 4 roots and 3 branches of each from mid-response."""
    lengths = Lengths()
    subject = tiny(lengths.longest)
    engine = engine_of(subject, lengths, 16)
    draw = np.random.default_rng(2)

    def words(count: int) -> Ids:
        return tuple(draw.integers(1, subject.vocabulary, count).tolist())

    engine.sync()
    start_ids = words(lengths.prompt)  # a group shares its task
    played: list[list[tuple[Ids, Ids]]] = [[] for _ in range(4)]
    prompts = [start_ids] * 4
    read = whole = 0

    def account(requests: Sequence[Request]) -> list[Ids]:
        nonlocal read, whole
        generations, usage = engine.generate(requests, 0, "benchmark")
        read += sum(length - known for length, known in usage.read)
        whole += sum(len(request.context_ids) for request in requests)
        return [generation.response_ids for generation in generations]

    for step in range(lengths.steps):
        answers = account([Request(ids, (), (0, root, step)) for root, ids in enumerate(prompts)])
        for root, answer in enumerate(answers):
            played[root].append((prompts[root], answer))
            prompts[root] = (*prompts[root], *answer, *words(lengths.observation))
    roots_read, roots_whole = read, whole
    # Each branch leaves its root at a random step, in the middle of the response.
    branches = [(root, int(draw.integers(lengths.steps))) for root in range(4) for _ in range(BRANCHES)]
    at = [played[root][step] for root, step in branches]
    prompts, kept = [prompt for prompt, _ in at], [answer[: lengths.response // 2] for _, answer in at]
    for turn in range(lengths.steps):
        going = [i for i, (_, step) in enumerate(branches) if step + turn < lengths.steps]
        if not going:
            break
        requests = [Request(prompts[i], kept[i] if turn == 0 else (), (1, i, turn)) for i in going]
        for i, answer in zip(going, account(requests), strict=True):
            prompts[i] = (*prompts[i], *answer, *words(lengths.observation))
    print(
        f"\nbranching, 16 = 4 x (1 + 3): {read} of {whole} prompt tokens read, {read / whole:.2f} x "
        f"(roots {roots_read / roots_whole:.2f} x, branches "
        f"{(read - roots_read) / (whole - roots_whole):.2f} x)"
    )


def main(arguments: Sequence[str]) -> None:
    """Print everything."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    if "smollm2" not in arguments:
        for observation in OBSERVATIONS:
            lengths = Lengths(observation=observation)
            compare(tiny(lengths.longest), lengths)
        branching()
        growth()
    if "tiny" not in arguments:
        compare(smollm2(Lengths().longest), Lengths())


if __name__ == "__main__":
    main(sys.argv[1:])
