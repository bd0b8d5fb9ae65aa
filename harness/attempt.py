"""What a run notes in `attempts.jsonl` each time that it starts or goes on."""

import os
import socket
from datetime import UTC, datetime

from harness.cells import WORK
from harness.ledger import COUNTED_AXES, Ledger
from harness.store import Rewound


def attempt(iteration: int, again: dict[str, float], code: str) -> dict[str, object]:
    """What is noted about an attempt when it starts."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "code": code,
        "iteration": iteration,
        "redone": again,
    }


def redone(rewound: Rewound, ledger: Ledger) -> dict[str, float]:
    """What an interruption cost: the finished iterations after the checkpoint, which are done again.

    The iteration that was cut off in its middle left no trace and is not counted.
    """
    before = {axis: ledger.spent(axis) for axis in COUNTED_AXES}
    last = next((line for line in reversed(rewound.metrics) if before.keys() <= line.keys()), before)
    spent = {axis: last[axis] - before[axis] for axis in COUNTED_AXES}
    return {**spent, "seconds": sum(line.get(work, 0.0) for line in rewound.timing for work in WORK)}
