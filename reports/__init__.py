"""Reads the run store and nothing else: statistics, figures, one self-contained page."""
