"""`python -m harness.launch.peer`: a rank other than the first, whose process starts it (`peers`)."""

import contextlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

import torch

from harness.config.plain import run_config
from harness.policy.precision import Placement
from harness.ranks import Ranks, join
from harness.run import Run, Stopped
from harness.store import RunDir


def main() -> int:
    """Run this rank's part of the cell that a line of standard input describes.

    Standard output gets one line: why it failed, if it did. It ends at once when standard input does.
    """
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=end_with_first, daemon=True).start()
    with contextlib.redirect_stdout(sys.stderr):
        try:
            run(task)
        except Exception as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        else:
            return 0
    print(reason, flush=True)
    return 1


def run(task: dict[str, Any]) -> None:
    """Take part from the start, or from the checkpoint that the first rank names, to the end."""
    torch.set_num_threads(1)
    config = run_config(task["config"])
    ranks = Ranks(task["rank"], config.model.gpus)
    join(ranks, Path(task["meeting"]), Placement.of(config.model).device)
    with contextlib.suppress(Stopped):
        Run(config, RunDir(Path(task["run_dir"])), Path(task["out"]), ranks=ranks).finish()


def end_with_first() -> None:
    """Wait for the end of standard input, which the first rank keeps open for as long as it lives."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    # No interpreter shutdown: libraries' exit handlers have nothing to do here and may hang.
    os._exit(main())
