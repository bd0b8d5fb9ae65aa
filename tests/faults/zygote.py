"""Forks a process for each attempt at a cell, so that torch is imported once.

Reads a request a line, and answers each with the exit code of the attempt, negative where a signal ended it.
"""

import json
import os
import signal
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from harness.config.plain import run_config
from harness.launch import worker
from harness.run import Run
from harness.store import RunDir
from tests.faults.watch import Fault, Watch, install


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        warm_up(json.dumps(request["config"]))
        child = os.fork()
        if child == 0:
            attempt(request)
        if request["kill_after"] is not None:
            time.sleep(request["kill_after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


@cache
def warm_up(config: str) -> None:
    """Run the cell once here: what it imports, and what torch makes at its first use, the forks then have."""
    cell = run_config(json.loads(config))
    with tempfile.TemporaryDirectory() as folder:
        Run(cell, RunDir.create(Path(folder), cell), Path(folder)).finish()


def attempt(request: dict[str, Any]) -> None:
    """The attempt's process: a worker as a launcher starts it, checkpoints after every iteration."""
    folder, trace = Path(request["folder"]), Path(request["trace"])
    errors = os.open(trace.with_suffix(".stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(errors, stream)
    fault = Fault(**request["fault"]) if request["fault"] else None
    install(Watch(folder, trace, fault))
    stopping = worker.stop_when_asked()
    os._exit(worker.work(folder, run_config(request["config"]), 0, code=None, stopping=stopping))


if __name__ == "__main__":
    main()
