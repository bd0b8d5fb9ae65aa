"""What commands print."""

import os
import sys


def show(text: str) -> None:
    """Print to a reader that may have had enough before the end (`| head`)."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # The interpreter flushes once more when it ends, and would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
