"""The arms of a sweep: one per algorithm, or one per trial, or the tuned and the default setting of each."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.compose.frozen import load
from harness.compose.space import points
from harness.config.sweep import SweepConfig


@dataclass(frozen=True)
class Arm:
    """One configuration of an algorithm that every seed runs."""

    name: str
    """How it is called in messages and in the report."""
    algorithm: str
    """The entry of `sweep.algorithms` that it comes from."""
    options: Mapping[str, float] = field(default_factory=dict)
    """What it sets besides that entry."""
    trial: int | None = None
    """Its number in a tuning; 0 is the default setting."""
    reference: bool = False
    """Whether it is compared with its own algorithm only: a trial, or a default beside its tuned setting."""


def sweep_arms(sweep: SweepConfig) -> list[Arm]:
    """The arms in the order of a seed's cells, crossed options left aside."""
    if sweep.trials:
        settings = list(enumerate(points(sweep.space, sweep.trials)))
        return [
            Arm(f"{a} trial {t}", a, point, t, reference=True)
            for a in sweep.algorithms
            for t, point in settings
        ]
    if not sweep.tuned:
        return [Arm(algorithm, algorithm) for algorithm in sweep.algorithms]
    winners = load(Path(sweep.tuned)).algorithms
    found = []
    for algorithm in sweep.algorithms:
        best = winners[algorithm].overrides
        # If the default setting has won, one arm is both.
        found += [Arm(algorithm, algorithm, reference=True)] if best else []
        found.append(Arm(f"{algorithm} tuned", algorithm, best))
    return found


def tuning_record(sweep: SweepConfig, cells: Sequence[str]) -> dict[str, Any]:
    """What `sweep.json` keeps of a tuning, or of a comparison that uses one; `cells` are a sweep's ids.

    references  cells of arms that are compared with nothing but their own algorithm
    knobs       options in which arms differ by design
    tuning      a tuning's points, and for each cell its algorithm and its trial
    tuned       the frozen result that a comparison uses
    """
    if not (sweep.trials or sweep.tuned):
        return {}
    arms = sweep_arms(sweep)
    by_cell = dict(zip(cells, arms * len(sweep.seeds), strict=True))
    record: dict[str, Any] = {
        "references": [cell for cell, arm in by_cell.items() if arm.reference],
        "knobs": list(dict.fromkeys(option for arm in arms for option in arm.options)),
    }
    if sweep.trials:
        trials = {cell: [arm.algorithm, arm.trial] for cell, arm in by_cell.items()}
        return {**record, "tuning": {"points": points(sweep.space, sweep.trials), "cells": trials}}
    frozen = load(Path(sweep.tuned))
    return {**record, "tuned": {"name": Path(sweep.tuned).stem, "frozen": asdict(frozen)}}
