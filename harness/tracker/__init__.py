"""Copies of the run store in experiment trackers. The store is the truth: it is read, never written."""

from harness.tracker.follow import following
from harness.tracker.mirror import Mirror
from harness.tracker.opening import check_tracker

__all__ = ["Mirror", "check_tracker", "following"]
