"""What the command lines of this package share."""

import sys
from collections.abc import Callable

from harness.errors import UserError


def exit_code(work: Callable[[], None]) -> int:
    """Do it: 0, or 2 with one line where what the user gave is of no use."""
    try:
        work()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0
