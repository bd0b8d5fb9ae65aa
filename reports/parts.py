"""A part of a report that fails becomes a line in it: it must not cost everybody the rest."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from harness.distrust import one_line

CAUGHT: tuple[type[Exception], ...] = (Exception,)
"""What costs a part alone. Tests empty it, so that a fault of the report's own fails them."""
Value = TypeVar("Value")


class Parts:
    """Makes the parts of a report, and keeps a line for each that could not be made."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def made(self, name: str, make: Callable[[], Value], instead: Value) -> Value:
        """What `make` returns; `instead` if it raises, and a line that names the part."""
        try:
            return make()
        except CAUGHT as error:
            self.failed.append(f"{name} could not be made: {what_happened(error)}")
            return instead


def what_happened(error: Exception) -> str:
    """An exception in one line: its kind, its message and the line of code that raised it."""
    message = f"{type(error).__name__}: {one_line(error)}" if str(error) else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    return f"{message} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else message
