"""Where cells run."""

DONE, FAILED, UNWRITABLE, BUSY, STOPPED = 0, 1, 74, 75, 76
"""A worker's exit codes: finished; failed (failure.json says why); its files, failure.json among them, could
not be written; cell held by another process; stopped when asked to, after a checkpoint."""
