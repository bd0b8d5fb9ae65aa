"""Run stores with known effects, in the form that `harness.run` writes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.compose import compose_run
from harness.config import RunConfig
from harness.config.plain import to_plain
from harness.store import cell_id, write_json

LIMIT = 7e11
SHARES = {  # of the budget, by phase
    "ppo": {
        "prefill_new": 0.2,
        "decode": 0.02,
        "critic_forward": 0.18,
        "critic_train": 0.3,
        "actor_train": 0.3,
    },
    "grpo": {"prefill_new": 0.2, "decode": 0.02, "score_reference": 0.19, "actor_train": 0.59},
    "gigpo": {"prefill_new": 0.21, "decode": 0.02, "score_reference": 0.18, "actor_train": 0.59},
    "steppo": {
        "prefill_new": 0.2,
        "decode": 0.02,
        "critic_forward": 0.18,
        "critic_train": 0.3,
        "actor_train": 0.3,
    },
    "g2po": {"prefill_new": 0.25, "decode": 0.02, "actor_train": 0.73},
    "appo": {
        "prefill_new": 0.3,
        "decode": 0.01,
        "decode_branch": 0.03,
        "branch_scoring": 0.2,
        "actor_train": 0.46,
    },
}
PHASES = (
    "prefill_new", "decode", "decode_branch", "branch_scoring", "score_reference", "critic_forward",
    "critic_train", "actor_train", "evaluation", "warm_start",
)  # fmt: skip


@cache
def composed(arm: str, env: str, model: str) -> RunConfig:
    """Composed once: Hydra takes its time."""
    algorithm, *options = arm.split()
    named = [f"algorithm={algorithm}", f"env={env}", f"model={model}", f"budget.limit={LIMIT}"]
    return compose_run([*named, *(f"algorithm.{option}" for option in options)])


def config(arm: str, env: str, model: str, seed: int) -> tuple[str, dict[str, Any]]:
    """Id and plain configuration of a cell."""
    run = replace(composed(arm, env, model), seed=seed)
    return cell_id(run), to_plain(run)


def ledger(algorithm: str) -> dict[str, Any]:
    """A ledger whose budgeted FLOPs add up to 1.02 of the limit."""
    shares = {**SHARES.get(algorithm, SHARES["ppo"]), "evaluation": 0.15, "warm_start": 0.09}
    nominal = {phase: int(1.02 * LIMIT * shares.get(phase, 0)) for phase in PHASES}
    return {
        "env_steps": 30_000,
        "tool_calls": 28_000,
        "env_steps_replayed": 900 if algorithm == "appo" else 0,
        "env_steps_evaluation": 8_000,
        "trajectories": 1_536,
        "prefix_reused": {"tokens": 700, "flops": 10**9}
        if algorithm == "appo"
        else {"tokens": 0, "flops": 0},
        "phases": {
            phase: {"tokens": flops // 500_000, "flops": flops, "computed": flops // 2}
            for phase, flops in nominal.items()
        },
    }


def write_run(
    out: Path, arm: str, seed: int, final: float, noise: np.random.Generator, env: str, model: str = "tiny"
) -> str:
    """A finished run that learns from about 0.1 to about `final`; returns its cell."""
    cell, plain = config(arm, env, model, seed)
    write_cell(out / "runs" / cell, plain, arm.split()[0], final, noise)
    return cell


def write_cell(
    run: Path, plain: Mapping[str, Any], algorithm: str, final: float, noise: np.random.Generator
) -> None:
    """The folder of a finished run with this plain configuration."""
    run.mkdir(parents=True)
    write_json(run / "config.json", plain)
    lines, timing, scores, spent_at = [], [], [], []
    for point in range(11):
        spent = point / 10 + (0.01 if point else 0.0)
        level = 0.1 + (final - 0.1) * (1 - np.exp(-4 * point / 10)) / (1 - np.exp(-4))
        success = float(np.clip(round((level + noise.normal(0, 0.02)) * 32) / 32, 0, 1))
        scores.append(success)
        spent_at.append(spent)
        counts = {"flops": int(spent * LIMIT), "tokens": int(spent * 8e4), "env_steps": int(spent * 3e4)}
        lines.append(
            {"kind": "evaluation", "iteration": point, "fraction": point / 10, "success": success, **counts}
            | {"greedy_success": min(1.0, success + 0.05), "episode_steps": 12.0}
            | {"valid_actions": 0.95, "entropy": 0.4}
        )
        lines.append({"kind": "train", "iteration": point + 1, **counts, "train_success": success})
        timing += [
            {"iteration": point, "evaluation": 0.5}
            | {"phases": {"evaluation": 0.5}, "peak_memory": {"evaluation": 3 * 10**8}},
            {"iteration": point, "rollout": 4.0, "update": 9.0}
            | {"phases": {"decode": 4.0, "actor_train": 9.0}}
            | {"peak_memory": {"decode": 3 * 10**8, "actor_train": 5 * 10**8}},
        ]
    write_lines(run / "metrics.jsonl", lines)
    write_lines(run / "timing.jsonl", timing)
    lost = {"flops": 10**9, "tokens": 100, "env_steps": 40, "trajectories": 4, "seconds": 2.0}
    write_lines(run / "attempts.jsonl", [{"redone": dict.fromkeys(lost, 0)}, {"redone": lost}])
    result = {
        "final_success": float(np.interp([1.0, 0.9, 0.8], spent_at, scores).mean()),
        "scores": scores,
        "stops": {"training": {"solved": 40, "horizon": 60}, "evaluation": {"solved": 5, "horizon": 5}},
        "iterations": 11,
        "overshoot": 0.02,
        "panel_hash": "b76f461fd81093a0" * 4,
        "start_hash": f"{plain['seed']:064x}",
        "placement": "cpu, fp32",
        "ledger": ledger(algorithm),
        "versions": {"torch": "2.13.0", "numpy": "2.4.6"},
    }
    write_json(run / "result.json", result)
    (run / "log.txt").write_text("")


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """JSON Lines."""
    path.write_text("".join(json.dumps(line, sort_keys=True) + "\n" for line in lines))


def write_sweep(
    out: Path,
    finals: Mapping[str, float],
    seeds: int,
    spread: float = 0.05,
    envs: Sequence[str] = ("vault",),
    model: str = "tiny",
) -> list[str]:
    """A sweep whose arms reach `finals` on average; seeds share a strong effect. Returns its cells.

    An arm is an algorithm, with options of it that differ from the published ones: `ppo gamma=0.9`.
    """
    noise = np.random.default_rng(7)
    cells = []
    for env in envs:
        for seed in range(seeds):
            shared = noise.normal(0, spread)
            for arm, final in finals.items():
                reached = float(np.clip(final + shared + noise.normal(0, spread / 2), 0.02, 1))
                cells.append(write_run(out, arm, seed, reached, noise, env, model))
    manifest = {
        "name": "synthetic",
        "command": "python -m harness.sweep +sweep=all_algos",
        "cells": cells,
        "creditbench": "0.1.0",
        "commit": "0123456789ab",
    }
    write_json(out / "sweep.json", manifest)
    return cells


TYPICAL = {"ppo": 0.55, "grpo": 0.6, "gigpo": 0.78, "steppo": 0.7, "g2po": 0.85, "appo": 0.57}
