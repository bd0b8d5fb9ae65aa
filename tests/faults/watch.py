"""Sees every file operation of this process under a folder, and makes one of them go wrong.

Python's own ways to the file system are replaced, `os` and the files that `open` gives; what goes another way
is not seen, and test_watch.py asks the kernel whether there is any.
"""

import builtins
import errno
import io
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ERRORS = {"ENOSPC": errno.ENOSPC, "EIO": errno.EIO}
ALLOCATING = ("open", "write", "mkdir", "link", "truncate")
"""What needs room on the disk."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Operation:
    """One operation. Paths are relative to the watched folder, which is itself the empty path."""

    kind: str
    """read (a file is opened for reading), open (for writing), write, truncate, fsync, rename, unlink, mkdir,
    rmdir, link."""
    path: str
    target: str = ""
    """Of a rename or a link."""
    data: bytes = b""
    """What was written."""
    offset: int = 0
    """Where it was written; the size that a file was opened at (0: emptied) or truncated to."""
    failed: bool = False
    """It had no effect: nothing was there to be removed, a fault struck, ..."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at the operation number `at`, from 0."""

    at: int
    what: str
    """kill: before it. tear: in the middle of a write, or before another operation. ENOSPC, EIO: it fails, a
    write in its middle on ENOSPC. full: it and all after it that need room fail with ENOSPC."""


class Watch:
    """The watch on `folder`, one a process. Operations are pickled to `trace` when they are done."""

    def __init__(self, folder: Path, trace: Path, fault: Fault | None) -> None:
        self.folder, self.fault = os.fspath(folder.resolve()), fault
        self.count = 0
        self.cut_short = False
        """The last write was cut short by a full disk: the next one fails."""
        self.trace = trace.open("ab", buffering=0)

    def inside(self, path: Any, dir_fd: int | None = None) -> str | None:
        """The path relative to the folder, None outside; `path` may be a file descriptor.

        Nothing is inside for other threads: a lease's beats come with time, not with a run's operations.
        """
        if threading.current_thread() is not threading.main_thread():
            return None
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        elif dir_fd is not None:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
        whole = os.path.abspath(os.fspath(path))
        if whole != self.folder and not whole.startswith(self.folder + "/"):
            return None
        return whole[len(self.folder) + 1 :]

    def perform(self, operation: Operation, action: Callable[[], Any]) -> Any:
        """Do it, unless it is where the fault is."""
        try:
            self.strike(operation)
            result = action()
        except OSError:
            self.note(replace(operation, failed=True))
            raise
        self.note(operation)
        return result

    def write(self, path: str, offset: int, data: bytes, action: Callable[[bytes], int]) -> int:
        """A write, of which half may be done; returns how many bytes were written."""
        half = data[: len(data) // 2]
        if half and self.fault is not None and self.fault.at == self.count:
            if self.fault.what == "tear":
                action(half)
                die()
            if self.fault.what in ("ENOSPC", "full"):
                # A disk that fills up takes a part and says so; it fails the write of the rest.
                self.cut_short = True
                self.count += 1
                self.note(Operation("write", path, data=half, offset=offset))
                return action(half)
        return int(self.perform(Operation("write", path, data=data, offset=offset), lambda: action(data)))

    def note(self, operation: Operation) -> None:
        """Write an operation down, at once: the thread that keeps the lease alive does so too."""
        self.trace.write(pickle.dumps(operation))

    def strike(self, operation: Operation) -> None:
        """Count an operation; die or raise OSError where it is due."""
        number, fault = self.count, self.fault
        self.count += 1
        if self.cut_short and operation.kind == "write":
            self.cut_short = False
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), operation.path)
        if fault is None or number < fault.at:
            return
        if fault.what == "full" and operation.kind in ALLOCATING:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), operation.path)
        if number == fault.at and fault.what in ERRORS:
            raise OSError(ERRORS[fault.what], os.strerror(ERRORS[fault.what]), operation.path)
        if number == fault.at and fault.what in ("kill", "tear"):
            die()


def die() -> None:
    """The end, as by the kernel when memory is short or by a scheduler."""
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def install(watch: Watch) -> None:
    """Replace Python's ways to the file system."""
    for kind in ("unlink", "rmdir", "mkdir"):
        setattr(os, kind, watched_path(watch, kind, getattr(os, kind)))
    os.remove = os.unlink
    for name, kind in (("rename", "rename"), ("replace", "rename"), ("link", "link")):
        setattr(os, name, watched_pair(watch, kind, getattr(os, name)))
    os.fsync = watched_fsync(watch, os.fsync)
    os.fdatasync = watched_fsync(watch, os.fdatasync)
    os.open = watched_os_open(watch, os.open)
    io.open = builtins.open = watched_open(watch, io.open)
    for name in UNUSED:
        setattr(os, name, refused(watch, name, getattr(os, name)))


UNUSED = ("write", "pwrite", "writev", "truncate", "ftruncate", "symlink", "sendfile", "copy_file_range")
"""What the store does without: a use under the folder would go unseen, and is an error."""


def refused(watch: Watch, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """A function that must not be used on the folder."""

    def function(first: Any, *rest: Any, **options: Any) -> Any:
        assert watch.inside(first) is None, (
            f"os.{name} on {watch.inside(first)}: teach tests/faults to watch it"
        )
        return real(first, *rest, **options)

    return function


def watched_path(watch: Watch, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """Of one path."""

    def function(path: Any, *rest: Any, dir_fd: int | None = None, **options: Any) -> Any:
        def act() -> Any:
            return real(path, *rest, dir_fd=dir_fd, **options)

        where = watch.inside(path, dir_fd)
        return act() if where is None else watch.perform(Operation(kind, where), act)

    return function


def watched_pair(watch: Watch, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
    """Of a path and a new one."""

    def function(path: Any, target: Any, **options: Any) -> Any:
        def act() -> Any:
            return real(path, target, **options)

        where, to = watch.inside(path), watch.inside(target)
        assert (where is None) == (to is None), "nothing is moved into the folder or out of it"
        return act() if where is None else watch.perform(Operation(kind, where, target=to), act)

    return function


def watched_fsync(watch: Watch, real: Callable[[int], None]) -> Callable[[Any], None]:
    """Of a file or a folder."""

    def function(file: Any) -> None:
        number = file if isinstance(file, int) else file.fileno()
        where = watch.inside(number)
        if where is None:
            real(number)
        else:
            watch.perform(Operation("fsync", where), lambda: real(number))

    return function


def watched_os_open(watch: Watch, real: Callable[..., int]) -> Callable[..., int]:
    """For folders, which are only read. Files are opened by `open`."""

    def function(path: Any, flags: int, *rest: Any, dir_fd: int | None = None, **options: Any) -> int:
        where = watch.inside(path, dir_fd)
        assert where is None or not flags & WRITING, f"os.open writes {where}: teach tests/faults to watch it"
        return real(path, flags, *rest, dir_fd=dir_fd, **options)

    return function


def watched_open(watch: Watch, real: Callable[..., Any]) -> Callable[..., Any]:
    """`open`: files that are written to know the watch."""

    def function(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        where = watch.inside(file)
        if where is None:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if not set(mode) & set("wax+"):
            act = lambda: real(file, mode, buffering, encoding, errors, newline, closefd, opener)  # noqa: E731
            return watch.perform(Operation("read", where), act)
        size = 0 if "w" in mode or not os.path.exists(file) else os.path.getsize(file)
        kept = mode.replace("b", "").replace("t", "")
        opened = Operation("open", where, offset=size)
        raw = watch.perform(opened, lambda: WatchedFile(file, kept, closefd, opener))
        raw.watch, raw.where = watch, where
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)

    return function


class WatchedFile(io.FileIO):
    """A file under the folder."""

    watch: Watch
    where: str

    def write(self, data: Any) -> int:
        """Write at the file's position, or at its end where it was opened for appending."""
        offset = os.fstat(self.fileno()).st_size if "a" in self.mode else self.tell()
        return self.watch.write(self.where, offset, bytes(data), super().write)

    def truncate(self, size: int | None = None) -> int:
        """Cut, or extend by zeros."""
        end = self.tell() if size is None else size
        return self.watch.perform(
            Operation("truncate", self.where, offset=end), lambda: super(WatchedFile, self).truncate(end)
        )


def operations(trace: Path) -> list[Operation]:
    """What a process did before it ended."""
    return list(_unpickled(trace)) if trace.exists() else []


def _unpickled(trace: Path) -> Iterator[Operation]:
    with trace.open("rb") as file:
        while file.peek(1):
            yield pickle.load(file)
