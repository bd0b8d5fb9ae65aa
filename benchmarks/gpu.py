"""Updates and prefills of 0.5B and 1.5B models with random weights on one CUDA GPU, in bf16.

    python -m benchmarks.gpu                          # rows of 4,096 tokens, 8,192 in a pass
    python -m benchmarks.gpu --peak 989               # the data sheet's dense bf16 TFLOP/s, for MFU beside it

Nothing is downloaded. With the extra `benchmarks`, TRL's update of the same rows stands beside ours.
"""

import argparse
import importlib.util
from functools import partial

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.machine import Took, gemm_peak, measured
from benchmarks.training import END, GROUP, Case, Ours, done, load
from benchmarks.update import best, prefill, words
from harness.ledger import TransformerFlops
from harness.policy.rows import Row
from harness.rollout.engine import Request
from harness.rollout.torch_engine import TorchEngine
from harness.update.minibatch import Minibatch

CASES = (
    Case("equal lengths, nothing in common", (2048, 2048), (2048, 2048), shared=False),
    Case("ragged, one prompt a group", (512, 2048), (256, 2048), shared=True),
)
ROWS, MICRO_TOKENS = 16, 8192


def updated(name: str, case: Case, peaks: tuple[float, ...]) -> str:
    """A line of the table: our update, and TRL's where it is installed."""
    device = torch.device("cuda")
    model = load(name, device)
    rows = case.rows(ROWS, model.config.vocab_size)
    advantage_R = np.random.default_rng(1).normal(size=ROWS).astype(np.float32)
    ours = Ours(model, MICRO_TOKENS, case.prompt[1] + case.response[1])
    minibatch = ours.minibatch(rows, advantage_R)
    mine = best([measured(lambda: run(ours, minibatch), device) for _ in range(4)])
    tokens = sum(len(prompt) + len(response) for prompt, response in rows)
    rate = done(model, minibatch, MICRO_TOKENS) / mine.seconds
    shares = " / ".join(f"{rate / peak:.0%}" for peak in peaks)
    theirs = by_trl(model, rows, advantage_R)
    beside = f"{tokens / theirs.seconds:.0f} | {theirs.memory / 2**30:.1f}" if theirs else "- | -"
    return (
        f"| {name} | {case.name} | {tokens} | {tokens / mine.seconds:.0f} | {mine.memory / 2**30:.1f} "
        f"| {shares} | {beside} |"
    )


def run(ours: Ours, minibatch: Minibatch) -> None:
    """An update; its peak is the GPU's, not that of main memory."""
    ours.update(minibatch)


def by_trl(model: PreTrainedModel, rows: list[Row], advantage_R: np.ndarray) -> Took | None:
    """TRL's update, two rows of 4,096 tokens at a time; None where TRL is not installed."""
    if importlib.util.find_spec("trl") is None:
        return None
    from benchmarks.trl_side import updates

    tokenizer = words(model.config.vocab_size)
    took, _ = updates(model, tokenizer, rows, torch.from_numpy(advantage_R), MICRO_TOKENS // 4096, 3)
    return best(took)


def prefilled(name: str, peaks: tuple[float, ...], contexts: int = 2 * GROUP, length: int = 2048) -> str:
    """A line of the table: contexts of one length, read by the rollout engine."""
    device = torch.device("cuda")
    model = load(name, device)
    forms, config = TransformerFlops.of(model.config), model.config
    engine = TorchEngine(model, END, length, 1)
    draw = np.random.default_rng(0)
    ids = draw.integers(3, config.vocab_size, size=(contexts, length))
    requests = [Request(tuple(row.tolist()), (), (i, 0, 0)) for i, row in enumerate(ids)]

    with torch.autocast("cuda", torch.bfloat16):
        took = best([measured(partial(prefill, engine, requests), device) for _ in range(4)])
    head = 2 * config.hidden_size * config.vocab_size * (length - 1) * contexts
    rate = (forms.forward([length] * contexts) - head) / took.seconds
    shares = " / ".join(f"{rate / peak:.0%}" for peak in peaks)
    return f"| {name} | {contexts} x {length} | {contexts * length / took.seconds:.0f} | {shares} |"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--peak", type=float, help="TFLOP/s that MFU is taken of too")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("error: benchmarks.gpu needs a CUDA GPU, and torch finds none here")
    fastest = gemm_peak(torch.device("cuda"), torch.bfloat16)
    peaks = (fastest, *([asked.peak * 1e12] if asked.peak else []))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, GEMM {fastest / 1e12:.0f} TFLOP/s")
    print("| model | rows | tokens | tokens/s | GiB | MFU | TRL, tokens/s | TRL, GiB |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    for name in ("0.5b", "1.5b"):
        for case in CASES:
            print(updated(name, case, peaks), flush=True)
    print("| model | prefill | tokens/s | MFU |\n|---|---|---:|---:|")
    for name in ("0.5b", "1.5b"):
        print(prefilled(name, peaks), flush=True)


if __name__ == "__main__":
    main()
