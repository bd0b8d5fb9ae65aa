"""Checksums of what runs wrote, so that damage is noticed and never computed with."""

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.store.files import read_json, write_json


class Damaged(Exception):
    """A file is missing, or is not what was written; says which and how."""


def content_hash(content: Any) -> str:
    """SHA-256 of `content` as canonical JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 of a file; raises FileNotFoundError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def head_hash(path: Path, size: int) -> str:
    """SHA-256 of a file's first `size` bytes, of all if it has fewer; raises FileNotFoundError."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def compare(path: Path, expected: str, size: int | None = None) -> None:
    """Raise `Damaged` unless the file, or its first `size` bytes, has this SHA-256."""
    try:
        found = file_hash(path) if size is None else head_hash(path, size)
    except FileNotFoundError:
        raise Damaged(f"{path.name} is missing") from None
    if found != expected:
        raise Damaged(f"{path.name} is not what was written")


def write_sealed(path: Path, content: dict[str, Any]) -> None:
    """`content` and its own checksum as JSON, atomically."""
    write_json(path, {**content, "checksum": content_hash(content)})


def read_sealed(path: Path) -> dict[str, Any]:
    """What `write_sealed` was given; raises `Damaged` if that is not what the file holds."""
    try:
        sealed = dict(read_json(path))
        checksum = sealed.pop("checksum")
    except FileNotFoundError:
        raise Damaged(f"{path.name} is missing") from None
    except (ValueError, TypeError, KeyError):
        raise Damaged(f"{path.name} can't be read") from None
    if content_hash(sealed) != checksum:
        raise Damaged(f"{path.name} is not what was written")
    return sealed
