"""Where cells run."""

DONE, FAILED, BUSY = 0, 1, 75
"""A worker's exit codes: finished, failed (failure.json says why), cell held by another process."""
