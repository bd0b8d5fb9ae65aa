"""The one exception for bad input."""


class UserError(Exception):
    """Bad input, said in one line: what is wrong and how to mend it.

    Command lines print the message and exit with 2; nothing has been computed or written by then.
    """


def require(condition: bool, message: str) -> None:
    """Raise `UserError(message)` unless `condition` holds."""
    if not condition:
        raise UserError(message)
