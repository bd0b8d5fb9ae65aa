"""Where things are kept that were made on this machine and can be made again."""

import contextlib
import os
import tempfile
from pathlib import Path


def cache_folder(name: str) -> Path:
    """The folder of one kind of things, under `CREDITBENCH_CACHE` (unset: `~/.cache/creditbench`)."""
    return Path(os.environ.get("CREDITBENCH_CACHE") or "~/.cache/creditbench").expanduser() / name


def read_note(path: Path) -> str:
    """What was noted in a cache; empty if nothing was."""
    try:
        return path.read_text()
    except (OSError, ValueError):
        return ""


def write_note(path: Path, text: str) -> None:
    """Note something that took long to find out; where it can't be written it is found out again."""
    with contextlib.suppress(OSError):
        write_whole(path, text)


def write_whole(path: Path, text: str) -> None:
    """Write a file of a cache, with its folder; other processes see all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=path.parent) as scratch:
        (Path(scratch) / path.name).write_text(text)
        os.replace(Path(scratch) / path.name, path)
