"""What a disk may hold after the power has failed: a model of a file system that keeps no more than it must.

It must keep what a file held when it was last synced, and the names that a folder held when that was. Of
everything later any part may be lost: a name's change alone, a file's new content alone, a part of it, or the
content but not its size, so that zeros are read.
"""

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.watch import Operation


@dataclass
class File:
    """What a file holds, and what the disk has of it for certain."""

    content: bytes = b""
    durable: bytes = b""


@dataclass
class Folder:
    """What names a folder holds, and which the disk has for certain."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    durable: dict[str, "File | Folder"] = field(default_factory=dict)


Names = dict[str, File | Folder]
Image = dict[str, bytes | None]
"""What is found after the failure: paths with their content, None for folders."""


@dataclass(frozen=True)
class Failure:
    """What is lost of what was not synced."""

    names: Callable[[Folder], Names]
    content: Callable[[File], bytes]


def zeros(file: File) -> bytes:
    """The file has its size, but what was written since it was synced was not."""
    kept = file.durable[: len(file.content)]
    return kept + bytes(len(file.content) - len(kept))


KEPT = Failure(lambda folder: folder.names, lambda file: file.content)
ALL_LOST = Failure(lambda folder: folder.durable, lambda file: file.durable)
CONTENT_LOST = Failure(lambda folder: folder.names, lambda file: file.durable)
ZEROS = Failure(lambda folder: folder.names, zeros)
NAMES_LOST = Failure(lambda folder: folder.durable, lambda file: file.content)


def some_lost(draw: Random) -> Failure:
    """Each name and each file fares on its own."""

    def names(folder: Folder) -> Names:
        found = {}
        for name in sorted(folder.names.keys() | folder.durable.keys()):
            entry = draw.choice((folder.names, folder.durable)).get(name)
            if entry is not None:
                found[name] = entry
        return found

    def content(file: File) -> bytes:
        torn = file.content[: draw.randint(0, len(file.content))]
        return (
            draw.choice((file.durable, file.content, zeros(file), torn)) if unsynced(file) else file.content
        )

    return Failure(names, content)


def unsynced(file: File) -> bool:
    """Whether the disk may hold something else."""
    return file.content != file.durable


class Disk:
    """A folder that operations are carried out in."""

    def __init__(self) -> None:
        self.root = Folder()

    def perform(self, operation: Operation) -> None:
        """Carry one out, as it was seen."""
        if operation.failed or operation.kind == "read":
            return
        folder, name = self.parent(operation.path)
        kind, here = operation.kind, folder.names
        if kind == "mkdir":
            here[name] = Folder()
        elif kind in ("unlink", "rmdir"):
            del here[name]
        elif kind in ("rename", "link"):
            target, new_name = self.parent(operation.target)
            target.names[new_name] = here.pop(name) if kind == "rename" else here[name]
        elif kind == "fsync":
            synced = here[name] if name else self.root
            if isinstance(synced, File):
                synced.durable = synced.content
            else:
                synced.durable = dict(synced.names)
        else:
            file = here.setdefault(name, File())
            assert isinstance(file, File)
            start = file.content[: operation.offset].ljust(operation.offset, b"\0")
            rest = file.content[operation.offset + len(operation.data) :] if kind == "write" else b""
            file.content = start + operation.data + rest

    def parent(self, path: str) -> tuple[Folder, str]:
        """The folder that a path is in, and its name there; the root has no name."""
        folder, (*above, name) = self.root, path.split("/")
        for part in above:
            found = folder.names[part]
            assert isinstance(found, Folder)
            folder = found
        return folder, name

    def after(self, failure: Failure) -> Image:
        """What is found after the power has failed."""
        return dict(walk(self.root, "", failure))


def walk(folder: Folder, above: str, failure: Failure) -> Iterable[tuple[str, bytes | None]]:
    """The paths in a folder, after the failure."""
    for name, entry in failure.names(folder).items():
        path = f"{above}{name}"
        if isinstance(entry, File):
            yield path, failure.content(entry)
        else:
            yield path, None
            yield from walk(entry, f"{path}/", failure)


def write(image: Image, folder: Path) -> None:
    """Make the files; they are an hour old, as it takes a while until the power is back."""
    before = time.time() - 3600
    for path, content in image.items():
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
            os.utime(folder / path, (before, before))
