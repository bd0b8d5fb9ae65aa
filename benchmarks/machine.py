"""What a machine can do, and what a piece of work took of it."""

import ctypes
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from harness.ledger.meter import peak_memory

SIZES = (1024, 2048)
"""Widths of the square products; on a GPU eight times as much."""


@dataclass(frozen=True)
class Took:
    """What one call took."""

    seconds: float
    """Of the processor, all threads together; on a GPU of the clock."""
    memory: int
    """Most bytes beyond those that were held before."""


def seconds(device: torch.device) -> float:
    """Processor seconds: other processes' load does not count. On a GPU the clock's, once it is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def measured(run: Callable[[], int | None], device: torch.device) -> Took:
    """`run` once. It may return a peak of its own, where it resets the process's."""
    before = held(device)
    start = seconds(device)
    own_peak = run()
    took = seconds(device) - start
    return Took(took, max(own_peak or 0, peak(device)) - before)


def held(device: torch.device) -> int:
    """Bytes in use now, what the allocator keeps for later given back; peaks count from here."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    ctypes.CDLL(None).malloc_trim(0)
    peak_memory()
    resident = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert resident, "this benchmark reads Linux's /proc"
    return 1024 * int(resident[1])


def peak(device: torch.device) -> int:
    """Most bytes in use since `held`."""
    return int(torch.cuda.max_memory_allocated(device)) if device.type == "cuda" else peak_memory()


def gemm_peak(device: torch.device, dtype: torch.dtype) -> float:
    """Multiplications and additions a second of the fastest of some square matrix products."""
    best = 0.0
    for width in SIZES:
        width *= 8 if device.type == "cuda" else 1
        left = torch.randn(width, width, device=device).to(dtype)
        right = torch.randn(width, width, device=device).to(dtype)
        torch.mm(left, right)
        for _ in range(5):
            start = seconds(device)
            torch.mm(left, right)
            best = max(best, 2 * width**3 / (seconds(device) - start))
    return best
