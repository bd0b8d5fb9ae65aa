"""The one exception for bad input."""

import difflib
import re
from collections.abc import Sequence


class UserError(Exception):
    """Bad input, said in one line: what is wrong and how to fix it.

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


def check_name(name: str, where: str) -> None:
    """Raise `UserError` unless the text can be part of a file's name everywhere."""
    require(
        re.fullmatch(r"\w[\w.+-]{0,79}", name, re.ASCII) is not None,
        f"{where}={name[:80]} becomes part of a file's name: letters, digits and _ . + - alone, at most 80",
    )


def check_folder(folder: str, where: str) -> None:
    """Raise `UserError` for what can't be the name of a folder, or hardly is meant as one."""
    parts = folder.split("/")
    require(folder.strip() != "", f"{where} is empty: name a folder, e.g. {where}=runs/mine")
    require("://" not in folder, f"{where}={folder} is an address: name a folder of this machine")
    require(
        all(len(part.encode(errors="replace")) <= 255 for part in parts) and len(folder) <= 4000,
        f"{where}={folder[:40]}... is too long for a folder's name",
    )
    require(folder.isprintable(), f"{where}={folder!r} has signs that can't be printed: name another folder")
    require(not folder.startswith("~"), f"{where}={folder} has a ~ that no shell has replaced: write $HOME")
