"""How long a look at a big sweep takes: 10,000 cells of six arms, all of them done, and none of them.

    OMP_NUM_THREADS=1 python -m benchmarks.status

Seconds of the processor in a warm file cache, the best of three processes, start included: what a look costs
a sweep beside it.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

CELLS, ARMS, ITERATIONS = 10_000, 6, 20


def write_store(out: Path, done: bool) -> None:
    """A sweep's directory with lines as long as real ones."""
    notes = {f"metric_{i}": i + 1 / 3 for i in range(20)}
    spent = [{"kind": "train", "iteration": i, "flops": i, **notes} for i in range(1, ITERATIONS)]
    evaluated = [{**line, "kind": "evaluation", "success": 0.5} for line in spent]
    metrics = "".join(json.dumps(line) + "\n" for pair in zip(evaluated, spent, strict=True) for line in pair)
    timing = (
        json.dumps({"iteration": 1, "rollout": 1.0, "update": 1.0, "phases": notes}) + "\n"
    ) * ITERATIONS
    config = {
        "algorithm": {f"option_{i}": i for i in range(20)},
        "budget": {"axis": "flops", "limit": ITERATIONS},
        "env": {"eval_tasks": 32, **{f"option_{i}": i for i in range(20)}},
        "evaluation": {"points": ITERATIONS, "episodes": 4, "window": 3},
    }
    result = json.dumps(
        {
            "scores": [0.5] * ITERATIONS,
            "final_success": 0.5,
            "ledger": {f"phase_{i}": notes for i in range(3)},
        }
    )
    cells = [f"arm{i % ARMS}-env-tiny-s{i // ARMS}-{i:010x}" for i in range(CELLS)]
    for seed, cell in enumerate(cells):
        folder = out / "runs" / cell
        folder.mkdir(parents=True)
        files = {
            "config.json": json.dumps({**config, "seed": seed // ARMS}, indent=1),
            "metrics.jsonl": metrics,
            "timing.jsonl": timing,
        }
        for name, text in {**files, **({"result.json": result} if done else {})}.items():
            (folder / name).write_text(text)
    (out / "sweep.json").write_text(json.dumps({"name": "big", "cells": cells}))


def seconds(out: Path) -> float:
    """User and system seconds of one look."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "harness.status", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print both times."""
    for done in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            write_store(Path(folder), done)
            best = min(seconds(Path(folder)) for _ in range(3))
            print(f"{CELLS} cells, {'all' if done else 'none'} done: {best:.2f} s")


if __name__ == "__main__":
    main()
