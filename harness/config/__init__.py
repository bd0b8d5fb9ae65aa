"""Typed configuration: frozen dataclasses whose field docstrings are the only description of an option.

Imports neither torch nor transformers, so that planning a sweep is instant.
"""

from harness.config.compose import compose_run, compose_sweep, compose_tracker
from harness.config.model import ModelConfig, PretrainedModel, TinyModel
from harness.config.schema import (
    BatchConfig,
    BudgetAxis,
    BudgetConfig,
    EvaluationConfig,
    LauncherConfig,
    RunConfig,
    SweepConfig,
    Tracker,
    TrackerConfig,
)

__all__ = [
    "BatchConfig",
    "BudgetAxis",
    "BudgetConfig",
    "EvaluationConfig",
    "LauncherConfig",
    "ModelConfig",
    "PretrainedModel",
    "RunConfig",
    "SweepConfig",
    "TinyModel",
    "Tracker",
    "TrackerConfig",
    "compose_run",
    "compose_sweep",
    "compose_tracker",
]
