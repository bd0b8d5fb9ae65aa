"""One account of what several ranks do."""

from typing import Any

from harness.ledger import Ledger
from harness.ranks import Ranks

Plain = dict[str, Any]


class Books:
    """The ledger of a run with several ranks.

    Each books its own work, and `settle` makes all of them hold the total.
    """

    def __init__(self, ledger: Ledger, ranks: Ranks) -> None:
        self.ledger, self.ranks = ledger, ranks
        self._settled: Plain = Ledger().to_plain()

    def load(self, plain: Plain) -> None:
        """Go on from a settled account."""
        self.ledger.load(plain)
        self._settled = self.ledger.to_plain()

    def settle(self) -> None:
        """Make the ranks' ledgers one. Of the meter, only memory: the most that any rank held."""
        if self.ranks.size == 1:
            return
        meter = self.ledger.meter
        total = self._settled
        mine = combined(self.ledger.to_plain(), self._settled, -1)
        for booked, memory in self.ranks.gathered((mine, dict(meter.memory))):
            total = combined(total, booked)
            for phase, most in memory.items():
                meter.memory[phase] = max(meter.memory[phase], most)
        self.load(total)


def combined(left: Plain, right: Plain, times: int = 1) -> Plain:
    """left + times x right, of nested numbers with the same names."""
    return {
        name: combined(value, right[name], times) if isinstance(value, dict) else value + times * right[name]
        for name, value in left.items()
    }
