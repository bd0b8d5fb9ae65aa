"""Compute accounting and the budget."""

from harness.ledger.flops import TransformerFlops
from harness.ledger.ledger import COUNTED_AXES, Ledger
from harness.ledger.phase import OUTSIDE_BUDGET, Phase

__all__ = ["COUNTED_AXES", "OUTSIDE_BUDGET", "Ledger", "Phase", "TransformerFlops"]
