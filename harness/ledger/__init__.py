"""Compute accounting and the budget."""

from harness.ledger.flops import TransformerFlops
from harness.ledger.ledger import OUTSIDE_BUDGET, Ledger, Phase

__all__ = ["OUTSIDE_BUDGET", "Ledger", "Phase", "TransformerFlops"]
