"""From the command line to typed configurations: Hydra, arms, seeds, and the help text."""

from harness.compose.composing import compose_environment, compose_run, compose_tracker
from harness.compose.sweeps import compose_sweep

__all__ = ["compose_environment", "compose_run", "compose_sweep", "compose_tracker"]
