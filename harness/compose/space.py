"""The settings that a tuning tries: the same points for every algorithm."""

import math
from collections.abc import Mapping

from harness.config.sweep import Knob, Scale

SEED = 0
"""Scrambles the Sobol sequence. More trials go on with the sequence, so that they keep the earlier ones."""


def points(space: Mapping[str, Knob], trials: int) -> list[dict[str, float]]:
    """Trial 0, which sets nothing and so is the default setting, then `trials` scrambled Sobol points."""
    from scipy.stats import qmc  # only here: it would slow the start of every sweep

    sobol = qmc.Sobol(len(space), scramble=True, rng=SEED)
    unit = sobol.random_base2(math.ceil(math.log2(trials)))[:trials]
    found: list[dict[str, float]] = [{}]
    for row in unit:
        point: dict[str, float] = {}
        for (option, knob), share in zip(space.items(), row, strict=True):
            value = at(knob, float(share))
            point[option] = value
            point |= {other: rounded(multiple * value) for other, multiple in knob.tied.items()}
        found.append(point)
    return found


def at(knob: Knob, share: float) -> float:
    """A knob's value at a share (0 to 1) of its range, in three digits."""
    if knob.scale is Scale.log:
        value = knob.low * (knob.high / knob.low) ** share
    else:
        value = knob.low + (knob.high - knob.low) * share
    return min(max(rounded(value), knob.low), knob.high)


def rounded(value: float) -> float:
    """Three significant digits, as people write settings."""
    return float(f"{value:.3g}")
