"""The one exception for bad input."""

import difflib
from collections.abc import Sequence


class UserError(Exception):
    """Bad input, said in one line: what is wrong and how to mend it.

    Command lines print the message and exit with 2; nothing has been computed or written by then.
    """


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)


def suggest(name: str, known: Sequence[str]) -> str:
    """' (did you mean …?)' or the list of what exists."""
    close = difflib.get_close_matches(name, known, n=1)
    return f": did you mean {close[0]}?" if close else f"; there are {', '.join(known)}"
