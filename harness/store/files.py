"""Writes that a crash can't tear."""

import contextlib
import json
import os
import socket
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


def make_folder(path: Path) -> None:
    """A folder that is there and stays there, with those above it."""
    if not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(exist_ok=True)
    # Also if it was there before: who made it may have been killed just before this.
    with contextlib.suppress(PermissionError):  # a folder above may be closed to us, as /home often is
        sync_folder(path.parent)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, whole and durable, when the block ends."""
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = str(path)  # a full disk's error names no file, others the temporary one
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def remove_temporaries(path: Path) -> None:
    """Remove what killed writers of `path` left beside it. Nobody else may be writing it."""
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        temporary.unlink()


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file and fsync its content, but not its directory entry.

    For files in a temporary folder that is later synced and renamed as a whole.
    """
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


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
    """One JSON line at the end of `path`, durable. A torn last line is cut off when the run resumes."""
    with path.open("ab") as file:
        if file.tell() == 0:
            sync_folder(path.parent)  # before the first line, so that a file with lines is known to stay
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
    return whole_lines(beyond)


def mend_lines(path: Path) -> None:
    """Leave the whole JSON lines in `path` alone: one appended to a torn line would be lost with it."""
    content = path.read_bytes() if path.exists() else b""
    whole = b"".join(line for line in content.splitlines(keepends=True) if parse_line(line) is not None)
    if whole != content:
        write_atomically(path, whole)


def read_lines(content: bytes) -> list[dict[str, Any]]:
    """The JSON lines in `content`, without a torn last one; raises ValueError if another is damaged."""
    return [json.loads(line) for line in content.split(b"\n")[:-1]]


def whole_lines(content: bytes) -> list[dict[str, Any]]:
    """The whole JSON lines in `content`, without torn and damaged ones."""
    lines = map(parse_line, content.splitlines(keepends=True))
    return [line for line in lines if line is not None]


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line that ends as lines do; None if there is none."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, dict) and line.endswith(b"\n") else None
