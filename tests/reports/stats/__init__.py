"""Examples that several tests share."""

SIX = [0.10, 0.04, 0.07, -0.01, 0.06, 0.04]
"""Paired differences of six seeds: mean .05, only the fourth seed disagrees."""
RLIABLE_X = [[0.10, 0.80], [0.35, 0.95], [0.20, 0.70], [0.55, 0.90], [0.05, 0.65], [0.90, 0.99], [0.40, 0.75]]
RLIABLE_Y = [[0.15, 0.60], [0.30, 0.95], [0.10, 0.72], [0.50, 0.50], [0.05, 0.40], [0.70, 0.97], [0.45, 0.20]]
"""Runs x environments, scored once by rliable 1.2.0 itself; its numbers are in the tests."""
RLIABLE_SCORES = [0.0, 0.1, 0.35, 0.5, 0.9, 1.0]
RLIABLE_ABOVE = [1.0, 12 / 14, 10 / 14, 9 / 14, 2 / 14, 0.0]
"""Share of all entries of `RLIABLE_X` above each score: its `create_performance_profile`."""
