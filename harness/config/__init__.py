"""Typed configuration: frozen dataclasses whose field docstrings are the only description of an option.

Imports neither torch nor transformers, so that planning a sweep is instant.
"""

from harness.config.compose import compose_run, compose_sweep, compose_tracker
from harness.config.launchers import CHECKPOINT_SECONDS, Launcher, LauncherConfig, LocalConfig, SlurmConfig
from harness.config.schema import (
    BatchConfig,
    BudgetAxis,
    BudgetConfig,
    EvaluationConfig,
    ModelConfig,
    RunConfig,
    SweepConfig,
    Tracker,
    TrackerConfig,
)

__all__ = [
    "CHECKPOINT_SECONDS",
    "BatchConfig",
    "BudgetAxis",
    "BudgetConfig",
    "EvaluationConfig",
    "Launcher",
    "LauncherConfig",
    "LocalConfig",
    "ModelConfig",
    "RunConfig",
    "SlurmConfig",
    "SweepConfig",
    "Tracker",
    "TrackerConfig",
    "compose_run",
    "compose_sweep",
    "compose_tracker",
]
