"""Writes that a crash can't tear."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def sync_folder(path: Path) -> None:
    """Make renames inside `path` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, whole and durable, when the block ends."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """The whole content or the old one, never a part."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any) -> None:
    """`content` as JSON, atomically."""
    write_atomically(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> Any:
    """The JSON in `path`."""
    return json.loads(path.read_bytes())


def append_line(path: Path, content: Any) -> None:
    """One JSON line at the end of `path`. A torn last line is cut off when the run resumes."""
    with path.open("ab") as file:
        file.write((json.dumps(content, sort_keys=True) + "\n").encode())
        file.flush()
        os.fsync(file.fileno())


def cut_lines(path: Path, size: int) -> list[dict[str, Any]]:
    """Cut `path` to `size` bytes and return the whole JSON lines beyond; a missing file counts as empty."""
    with path.open("a+b") as file:
        file.seek(size)
        beyond = file.read()
        file.truncate(size)
        os.fsync(file.fileno())
    return read_lines(beyond)


def read_lines(content: bytes) -> list[dict[str, Any]]:
    """The whole JSON lines in `content`, without a torn last one."""
    return [json.loads(line) for line in content.split(b"\n")[:-1]]
