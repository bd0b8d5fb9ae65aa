"""Token-in, token-out records of what was played, and their flat form for credit."""

from harness.records.batch import Batch
from harness.records.trajectory import Branch, Step, StopReason, Trajectory

__all__ = ["Batch", "Branch", "Step", "StopReason", "Trajectory"]
