"""Where cells run."""

DONE, FAILED, BUSY, STOPPED = 0, 1, 75, 76
"""A worker's exit codes: finished; failed (failure.json says why); cell held by another process; stopped when
asked to, after a checkpoint."""
