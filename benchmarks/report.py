"""How long a big store's report takes: 20 arms on one environment, 50 evaluations a run.

    OMP_NUM_THREADS=1 python -m benchmarks.report          # 50 seeds: 1,000 runs
    OMP_NUM_THREADS=1 python -m benchmarks.report 500      # 500 seeds: 10,000 runs

Seconds of the processor and the most memory of `python -m reports.compare`, start of Python included, in a
warm file cache.
"""

import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.compose import compose_sweep
from harness.config.plain import to_plain
from harness.config.schema import RunConfig
from harness.ledger import Phase
from harness.store import cell_id, checksums
from harness.sweep import manifest

SEEDS = 50
EVALUATIONS = 50
ALGORITHMS = ("ppo", "grpo", "rloo", "gspo", "gigpo", "hgpo", "graphgpo", "g2po", "steppo", "appo")
ARMS = ",".join(f'{name},"{name} clip_high=0.3"' for name in ALGORITHMS)
DIAGNOSTICS = {f"diagnostic_{i}": i / 3 for i in range(12)}
"""As many further numbers as a real iteration's line has."""
Line = dict[str, object]


def write_store(out: Path, seeds: int) -> None:
    """A finished sweep whose runs learn, some faster than others."""
    overrides = ["+sweep=smoke", f"sweep.algorithms=[{ARMS}]", f"evaluation.points={EVALUATIONS - 1}"]
    overrides += [f"sweep.seeds=[{','.join(map(str, range(seeds)))}]", "evaluation.window=3"]
    sweep, _, cells = compose_sweep(overrides)
    draw = np.random.default_rng(0)
    arms = len(cells) // seeds
    for i, cell in enumerate(cells):
        write_run(out / "runs" / cell_id(cell), cell, 0.4 + 0.5 * (i % arms) / arms, draw)
    (out / "sweep.json").write_text(json.dumps(manifest(sweep, cells, overrides)))


def write_run(run: Path, config: RunConfig, final: float, draw: np.random.Generator) -> None:
    """One finished run: an iteration before every evaluation but the first."""
    run.mkdir(parents=True)
    reached = np.clip(final + 0.1 * draw.standard_normal(), 0.1, 1)
    shares = np.linspace(0, 1, EVALUATIONS)
    success = np.clip(reached * shares / (shares + 0.1) + 0.02 * draw.standard_normal(EVALUATIONS), 0, 1)
    metrics = [line for pair in lines(config.budget.limit, success.round(4).tolist()) for line in pair]
    phases = {phase.value: {"tokens": 10**5, "flops": 10**9, "computed": 10**8} for phase in Phase}
    memory = dict.fromkeys(("decode", "actor_train"), 4 * 10**8)
    timing = [
        {
            "iteration": i,
            "rollout": 1.0,
            "update": 2.0,
            "phases": dict.fromkeys(memory, 1.0),
            "peak_memory": memory,
        }
        for i in range(1, EVALUATIONS)
    ]
    counts = ("env_steps", "env_steps_replayed", "env_steps_evaluation", "trajectories", "tool_calls")
    result = {
        "final_success": float(success[-3:].mean()),
        "scores": success.tolist(),
        "iterations": EVALUATIONS - 1,
        "overshoot": 0.01,
        "panel_hash": "a" * 64,
        "start_hash": f"{config.seed:064x}",
        "ledger": {**dict.fromkeys(counts, 1000), "phases": phases},
        "versions": {"torch": "2", "numpy": "2"},
    }
    (run / "config.json").write_text(json.dumps(to_plain(config)))
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    result["metrics_sha256"] = checksums.file_hash(run / "metrics.jsonl")
    result["checksum"] = checksums.content_hash(result)
    (run / "timing.jsonl").write_text("".join(json.dumps(line) + "\n" for line in timing))
    (run / "attempts.jsonl").write_text('{"redone": {"flops": 0, "seconds": 0.0}}\n')
    (run / "result.json").write_text(json.dumps(result))


def lines(limit: float, success: list[float]) -> Iterator[tuple[Line, ...]]:
    """The lines of metrics of each evaluation and of the iteration before it."""
    for i, rate in enumerate(success):
        share = i / (len(success) - 1)
        spent = {"flops": share * limit, "tokens": int(1e5 * share), "env_steps": int(3e4 * share)}
        common: Line = {"iteration": i, "trajectories": 128 * i, **spent}
        evaluated = {"fraction": share, "success": rate, "greedy_success": rate, "entropy": 0.3}
        trained: tuple[Line, ...] = ({**common, "kind": "train", **DIAGNOSTICS},) if i else ()
        yield (*trained, {**common, "kind": "evaluation", **evaluated})


def main() -> None:
    """Write a store, report it, print what that took."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), seeds)
        subprocess.run(
            [sys.executable, "-m", "reports.compare", folder], check=True, stdout=subprocess.DEVNULL
        )
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        page = (Path(folder) / "report.html").stat().st_size
    runs, seconds = 2 * len(ALGORITHMS) * seeds, used.ru_utime + used.ru_stime
    print(
        f"{runs} runs x {EVALUATIONS} evaluations: {seconds:.1f} s, {used.ru_maxrss / 1e6:.2f} GB, "
        f"page {page / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
