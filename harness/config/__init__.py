"""Typed configuration: frozen dataclasses whose field docstrings are the only description of an option.

Imports neither torch nor transformers, so that planning a sweep is instant.
"""

from harness.config.launchers import CHECKPOINT_SECONDS, Launcher, LauncherConfig, LocalConfig, SlurmConfig
from harness.config.model import ModelConfig, PretrainedModel, TinyModel
from harness.config.schema import (
    BatchConfig,
    BudgetAxis,
    BudgetConfig,
    EngineConfig,
    EvaluationConfig,
    RolloutConfig,
    RunConfig,
)
from harness.config.sweep import SweepConfig, Tracker, TrackerConfig

__all__ = [
    "CHECKPOINT_SECONDS",
    "BatchConfig",
    "BudgetAxis",
    "BudgetConfig",
    "EngineConfig",
    "EvaluationConfig",
    "Launcher",
    "LauncherConfig",
    "LocalConfig",
    "ModelConfig",
    "PretrainedModel",
    "RolloutConfig",
    "RunConfig",
    "SlurmConfig",
    "SweepConfig",
    "TinyModel",
    "Tracker",
    "TrackerConfig",
]
