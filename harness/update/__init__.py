"""Ratio x clip x aggregation x KL, value loss, optimiser."""
