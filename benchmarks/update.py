"""Updates and whole GRPO iterations against TRL's, and their share of what the machine can multiply.

    OMP_NUM_THREADS=1 python -m benchmarks.update          # tiny and SmolLM2-135M, all three parts
    OMP_NUM_THREADS=1 python -m benchmarks.update --model tiny --part update

Needs the extra `benchmarks`, and SmolLM2 once fetched. Prints the tables of docs/benchmarks.md.
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from benchmarks.machine import Took, gemm_peak, measured
from benchmarks.training import ALGORITHM, END, GROUP, SMOLLM2, Case, Ours, done, load
from harness.ledger import TransformerFlops
from harness.policy.source import locate
from harness.records import Batch, Step, StopReason, Trajectory
from harness.rollout.engine import Request
from harness.rollout.torch_engine import TorchEngine
from harness.update.minibatch import Minibatch

CPU = torch.device("cpu")
CASES = (
    Case("ragged, one prompt a group", (32, 96), (16, 128), shared=True),
    Case("ragged, nothing in common", (32, 96), (16, 128), shared=False),
    Case("equal lengths, nothing in common", (64, 64), (64, 64), shared=False),
)
ROWS = {"tiny": 64, "smollm2_135m": 8}
"""Of an update. TRL's micro-batches have 8 of them, ours as many tokens as 8 of the longest."""
TOKENS = {"tiny": (512, 2048, 8192), "12m": (512, 2048, 8192), "smollm2_135m": (256, 1024)}
"""Of an update and of a prefill, in rows of 128."""
LONGEST = 48
"""Most tokens of an iteration's completion."""


def words(vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer whose every token is a word."""
    known = {f"w{i}": i for i in range(vocabulary)}
    tokenizer = Tokenizer(WordLevel(known, unk_token="w0"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=f"w{END}", pad_token="w0")


def against_trl(name: str) -> None:
    """Print a row for each case: tokens a second and memory of both, and whether both did the same."""
    from benchmarks.trl_side import updates

    model, count = load(name, CPU), ROWS[name]
    tokenizer = words(model.config.vocab_size)
    fastest = gemm_peak(CPU, torch.float32)  # the best of all: other processes only ever slow it
    for case in CASES:
        rows = case.rows(count, model.config.vocab_size)
        advantage_R = np.random.default_rng(1).normal(size=count).astype(np.float32)
        longest = case.prompt[1] + case.response[1]
        ours = Ours(model, GROUP * longest, longest)
        minibatch = ours.minibatch(rows, advantage_R)
        mine = [measured(partial(ours.update, minibatch), CPU)]
        theirs, norm = updates(model, tokenizer, rows, torch.from_numpy(advantage_R), GROUP, 2)
        mine.append(measured(partial(ours.update, minibatch), CPU))
        agrees = abs(ours.metrics["grad_norm"] / norm - 1)
        assert agrees < 1e-3, f"not the same gradient: norms {ours.metrics['grad_norm']} and {norm}"
        tokens = sum(len(prompt) + len(response) for prompt, response in rows)
        a, b = best(mine), best(theirs)
        fastest = max(fastest, gemm_peak(CPU, torch.float32))
        share = done(model, minibatch, GROUP * longest) / a.seconds / fastest
        print(
            f"| {name} | {case.name} | {tokens} | {tokens / a.seconds:.0f} | {tokens / b.seconds:.0f} "
            f"| {b.seconds / a.seconds:.1f} x | {a.memory / 2**20:.0f} | {b.memory / 2**20:.0f} "
            f"| {agrees:.0e} | {share:.0%} |",
            flush=True,
        )
        # `Trainer` leaves training mode and its own forward behind.
        model.eval()


def best(runs: list[Took]) -> Took:
    """The fastest, and the least memory."""
    return Took(min(run.seconds for run in runs), min(run.memory for run in runs))


Reward = Callable[..., list[float]]


def task(name: str, model: PreTrainedModel) -> tuple[PreTrainedTokenizerBase, list[Any], Reward]:
    """A single-turn task: two prompts, and what is paid for a completion."""
    if name == SMOLLM2.name:
        tokenizer = AutoTokenizer.from_pretrained(locate(SMOLLM2))
        questions = ("How much is 12 + 7? Answer briefly.", "Name one colour of the sea.")
        asked = [[{"role": "user", "content": question}] for question in questions]
        return tokenizer, asked, lambda completions, **_: [float("19" in text(c)) for c in completions]
    tokenizer = words(model.config.vocab_size)
    drawn = np.random.default_rng(0).integers(3, model.config.vocab_size, size=(2, 48))
    prompts = [" ".join(f"w{i}" for i in row) for row in drawn]
    return tokenizer, prompts, lambda completions, **_: [float(c.count("7")) for c in completions]


def text(completion: list[dict[str, str]]) -> str:
    """A conversation's answer."""
    return completion[0]["content"]


def ids_of(tokenizer: PreTrainedTokenizerBase, prompt: Any) -> tuple[int, ...]:
    """A prompt's tokens, as TRL makes them."""
    if not isinstance(prompt, str):
        prompt = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
    return tuple(tokenizer(prompt, add_special_tokens=False)["input_ids"])


class Iterations:
    """Our loop on a single-turn task: sample, credit, update."""

    def __init__(self, name: str, model: PreTrainedModel, lr: float) -> None:
        self.tokenizer, self.prompts, self.reward = task(name, model)
        self.ids = [ids_of(self.tokenizer, prompt) for prompt in self.prompts for _ in range(GROUP)]
        self.ours = Ours(model, GROUP * (max(map(len, self.ids)) + LONGEST), LONGEST, lr)
        end = self.tokenizer.eos_token_id
        self.engine = TorchEngine(model, end, max(map(len, self.ids)), LONGEST)
        self.end, self.number = end, 0
        self.lengths: list[float] = []

    def run(self) -> int:
        """One iteration; the most bytes of main memory in its update."""
        self.number += 1
        self.engine.sync()
        requests = [
            Request(ids, (), (self.number * 10 + i // GROUP, i % GROUP, 0)) for i, ids in enumerate(self.ids)
        ]
        with self.ours.placement.autocast():
            generations, _ = self.engine.generate(requests, 0, "rollout")
        self.engine.release()
        answers = [self.tokenizer.decode(g.ids, skip_special_tokens=True) for g in generations]
        if not isinstance(self.prompts[0], str):
            answers = [[{"role": "assistant", "content": answer}] for answer in answers]
        trajectories = []
        for i, (generation, reward) in enumerate(zip(generations, self.reward(answers), strict=True)):
            logprob_L, entropy_L = (
                np.array(column, np.float32) for column in (generation.logprobs, generation.entropies)
            )
            step = Step(
                self.ids[i], tuple(generation.ids), logprob_L, entropy_L, "", "", "", reward, valid=True
            )
            trajectories.append(
                Trajectory(str(i // GROUP), i // GROUP, i % GROUP, (step,), False, StopReason.failed, 0.0)
            )
        batch = Batch.of(trajectories, end_id=self.end, vocabulary=self.ours.model.config.vocab_size, seed=0)
        members_N = np.ones(len(trajectories), dtype=bool)
        self.lengths.append(float(np.mean([len(g.ids) for g in generations])))
        return self.ours.update(Minibatch.of(trajectories, batch, ALGORITHM.credit(batch), members_N))


def iterations_against_trl(name: str) -> None:
    """Print seconds and memory of whole iterations."""
    from benchmarks.trl_side import iterations

    model = load(name, CPU)
    mine = Iterations(name, model, lr=0.0)
    took = [measured(mine.run, CPU)]
    tokenizer, prompts, reward = task(name, model)
    theirs, lengths = iterations(model, tokenizer, prompts, reward, LONGEST, steps=2, lr=0.0)
    model.eval()
    took.append(measured(mine.run, CPU))
    # Both sample at random, so tokens differ: seconds of a completion's token.
    per_token = [
        sum(run.seconds for run in runs) / sum(mean) / len(mine.ids)
        for runs, mean in ((took, mine.lengths), (theirs, lengths))
    ]
    print(
        f"| {name} | {len(mine.ids)} | {np.mean(mine.lengths):.1f} | {np.mean(lengths):.1f} "
        f"| {1e3 * per_token[0]:.2f} | {1e3 * per_token[1]:.2f} | {per_token[1] / per_token[0]:.1f} x |",
        flush=True,
    )


def prefill(engine: TorchEngine, requests: list[Request]) -> None:
    """Read contexts of which nothing is cached, and sample a token after each."""
    engine.sync()
    engine.generate(requests, 0, "rollout")


def growth(name: str, device: torch.device = CPU) -> None:
    """Print the share of the GEMM peak of an update and a prefill, by tokens of the batch."""
    model = load(name, device)
    forms, config = TransformerFlops.of(model.config), model.config
    fastest = gemm_peak(device, torch.float32)
    for tokens in TOKENS[name]:
        rows = Case("", (64, 64), (64, 64), shared=False).rows(tokens // 128, config.vocab_size)
        ours = Ours(model, tokens, 128)
        minibatch = ours.minibatch(rows, np.ones(len(rows), dtype=np.float32))
        update = best([measured(partial(ours.update, minibatch), device) for _ in range(3)])
        engine = TorchEngine(model, END, 128, 1)
        requests = [Request(prompt + response, (), (i, 0, 0)) for i, (prompt, response) in enumerate(rows)]
        read = best([measured(partial(prefill, engine, requests), device) for _ in range(3)])
        work = forms.forward([128] * len(rows)) - 2 * config.hidden_size * config.vocab_size * 127 * len(rows)
        fastest = max(fastest, gemm_peak(device, torch.float32))
        shares = (done(model, minibatch, tokens) / update.seconds, work / read.seconds)
        print(
            f"| {name} | {model.num_parameters() / 1e6:.1f} M | {tokens} | {tokens / update.seconds:.0f} "
            f"| {shares[0] / fastest:.0%} | {tokens / read.seconds:.0f} | {shares[1] / fastest:.0%} "
            f"| {fastest / 1e9:.0f} |",
            flush=True,
        )


PARTS = {
    "update": (
        against_trl,
        "| model | rows | tokens | ours, tokens/s | TRL, tokens/s | ratio | ours, MiB | TRL, MiB "
        "| gradients differ by | GEMM peak |",
    ),
    "iteration": (
        iterations_against_trl,
        "| model | samples | our mean length | TRL's | ours, ms per token | TRL, ms per token | ratio |",
    ),
    "growth": (
        growth,
        "| model | parameters | tokens | update, tokens/s | GEMM peak | prefill, tokens/s | GEMM peak "
        "| peak, GFLOP/s |",
    ),
}


def main() -> None:
    """Print the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=[*TOKENS], action="append")
    parser.add_argument("--part", choices=[*PARTS], action="append")
    asked = parser.parse_args()
    for part in asked.part or PARTS:
        run, header = PARTS[part]
        print(f"\n{header}\n|{'---|' * (header.count('|') - 1)}", flush=True)
        for name in asked.model or TOKENS:
            if part == "growth" or name in ROWS:
                run(name)


if __name__ == "__main__":
    main()
