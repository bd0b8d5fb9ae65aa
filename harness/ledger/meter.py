"""Seconds and peak memory by phase, measured: not a function of the configuration, so kept apart from the
ledger."""

import re
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path

from harness.ledger.phase import Phase

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
HIGH_WATER = re.compile(r"VmHWM:\s+(\d+) kB")


class Meter:
    """Books the time since the last booking, and the most memory in use meanwhile, under a phase."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.memory: defaultdict[str, int] = defaultdict(int)
        """Most bytes in use, by phase: of main memory, or of the GPU's if one is used."""
        self._last = time.monotonic()

    def start(self) -> None:
        """Book nothing for the time until now."""
        self._last = time.monotonic()

    def lap(self, phase: Phase, seconds: float | None = None) -> None:
        """Book what has passed since the last lap, or only its first `seconds`."""
        wait_for_gpu()
        now = time.monotonic() if seconds is None else self._last + seconds
        self.seconds[phase.value] += now - self._last
        self._last = now
        self.memory[phase.value] = max(self.memory[phase.value], peak_memory())

    def merge(self, other: "Meter") -> None:
        """Add what another meter has booked; nothing is booked here for the time until now."""
        for phase, seconds in other.seconds.items():
            self.seconds[phase] += seconds
        for phase, memory in other.memory.items():
            self.memory[phase] = max(self.memory[phase], memory)
        self.start()

    def take(self) -> dict[str, object]:
        """What was booked since the last call, as JSON-able data."""
        taken: dict[str, object] = {"phases": dict(self.seconds), "peak_memory": dict(self.memory)}
        self.seconds.clear()
        self.memory.clear()
        return taken


def wait_for_gpu() -> None:
    """Work that was asked of a GPU and is not done yet belongs to the phase that asked."""
    if uses_gpu():
        sys.modules["torch"].cuda.synchronize()


def uses_gpu() -> bool:
    """Whether this process has used a GPU; asked without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def peak_memory() -> int:
    """Most bytes that this process held since the last call; since its start if that can't be reset."""
    if uses_gpu():
        cuda = sys.modules["torch"].cuda
        peak_bytes: int = cuda.max_memory_allocated()
        cuda.reset_peak_memory_stats()
        return peak_bytes
    try:
        peak = HIGH_WATER.search(STATUS.read_text())
        RESET.write_text("5")
    except OSError:
        peak = None
    kilobytes = int(peak[1]) if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return 1024 * kilobytes
