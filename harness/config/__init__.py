"""Typed configuration: frozen dataclasses whose field docstrings are the only description of an option.

Imports neither torch nor transformers, so that planning a sweep is instant.
"""

from harness.config.compose import compose_run, compose_sweep, compose_tracker
from harness.config.schema import (
    BatchConfig,
    BudgetAxis,
    BudgetConfig,
    EngineConfig,
    EvaluationConfig,
    LauncherConfig,
    ModelConfig,
    RolloutConfig,
    RunConfig,
    SweepConfig,
    Tracker,
    TrackerConfig,
)

__all__ = [
    "BatchConfig",
    "BudgetAxis",
    "BudgetConfig",
    "EngineConfig",
    "EvaluationConfig",
    "LauncherConfig",
    "ModelConfig",
    "RolloutConfig",
    "RunConfig",
    "SweepConfig",
    "Tracker",
    "TrackerConfig",
    "compose_run",
    "compose_sweep",
    "compose_tracker",
]
