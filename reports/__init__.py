"""Reads the run store and nothing else: statistics, figures, one self-contained page."""

import harness  # noqa: F401  (first: Ctrl-C while the libraries are imported leaves no traceback)
