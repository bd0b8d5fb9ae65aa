"""JSON files of a run directory, read with distrust."""

import json
import os
import sys
from typing import Any

from harness.cells import Record


class Damaged(Exception):
    """A file that isn't what it should be; the message names it."""


NUMBERS = (int, float)
"""Types of JSON's numbers; true and false are of neither."""


def read_bytes(folder: str, name: str) -> bytes | None:
    """What is in a file, or None if there is no file."""
    try:
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            return file.read()
    except FileNotFoundError:
        return None


def read_object(folder: str, name: str) -> Record | None:
    """The JSON object in a file, or None if there is no file."""
    text = read_bytes(folder, name)
    return None if text is None else parse(text, name)


def read_lines(folder: str, name: str, size: int | None = None) -> tuple[list[bytes], bool]:
    """The whole lines in a file's last `size` bytes, and whether that is all of it.

    A torn last line is a write in flight and ignored; a missing file has no lines.
    """
    try:
        with open(f"{folder}/{name}", "rb", buffering=0) as file:
            start = 0 if size is None else max(0, os.fstat(file.fileno()).st_size - size)
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return [], True
    # Of the first line, only the end may have been read.
    return (lines[1:] if start else lines), start == 0


def parse(text: bytes, name: str) -> Record:
    """The JSON object that is `text`, from the file `name`."""
    try:
        content = json.loads(text.decode())  # with bytes, it would guess at the encoding first
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise Damaged(f"{name}: not a JSON object: {text[:40].decode(errors='replace')!r}")
    return content


def number(value: Any) -> float:
    """A finite number; raise `ValueError` for anything else."""
    if type(value) not in NUMBERS or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{one_line(value)[:40]} is not a number")
    return float(value)


def one_line(text: object) -> str:
    """Text from a file, fit to be printed: no line ends, no control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
