"""One writer for a folder, also if several machines share the file system.

The holder is who made the file `lease.N` with the highest N. To take a dead holder's place is to make
`lease.N+1`, which one of those who try succeeds in: a hard link appears whole or not at all. The holder
touches its file every few seconds. It is dead if its process is gone, which those on the same machine can
see, or if it has not touched the file for a while. A holder that was merely suspended notices at its next
check that it has lost the lease.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
"""Seconds without a heartbeat after which a holder on another machine counts as dead. Longer than file
servers usually stall."""
POLL_SECONDS = 0.2
PREFIX = "lease."


class LeaseLost(RuntimeError):
    """Another process took the folder over, as this one gave no sign of life; or the folder was moved."""


class Lease:
    """What the holder has. Made by `take` only."""

    def __init__(self, path: Path, owner: bytes) -> None:
        self.path = path
        self._owner = owner

    def check(self) -> None:
        """Raise `LeaseLost` if another process has taken over, or the folder is no longer where it was."""
        try:
            lost = newest(self.path.parent) != self.path or self.path.read_bytes() != self._owner
        except FileNotFoundError:
            lost = True
        if lost and not self.path.parent.is_dir():
            raise LeaseLost(f"{self.path.parent} is gone: it was moved or removed while this process held it")
        if lost:
            raise LeaseLost(f"another process took over {self.path.parent}: this one was taken for dead")

    def release(self) -> None:
        """Let the folder go."""
        with contextlib.suppress(LeaseLost, FileNotFoundError):
            self.check()
            self.path.unlink()

    @contextlib.contextmanager
    def beating(self, lost: Callable[[], object]) -> Iterator[None]:
        """Give signs of life while the block runs; call `lost`, in another thread, if the lease is lost."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_SECONDS):
                try:
                    self.check()
                    os.utime(self.path)
                except (LeaseLost, FileNotFoundError):
                    lost()
                    return
                except OSError:
                    continue  # the file server may come back before the lease is stale

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def take(folder: Path) -> Lease | None:
    """The lease of a folder that exists, or None if a live process has it."""
    owner = json.dumps(me()).encode()
    candidate = folder / f".lease.{socket.gethostname()}.{os.getpid()}.tmp"
    candidate.write_bytes(owner)
    try:
        newest_one = newest(folder)
        # By the file system's clock: on a network, that is not this machine's.
        if newest_one is not None and alive(newest_one, candidate.stat().st_mtime):
            return None
        path = folder / f"{PREFIX}{number(newest_one) + 1 if newest_one else 1}"
        os.link(candidate, path)  # appears with its content, and fails if it is there
    except (FileExistsError, FileNotFoundError):
        return None
    finally:
        candidate.unlink(missing_ok=True)
    if newest(folder) != path:  # whoever had this number before has already been followed
        path.unlink(missing_ok=True)
        return None
    for old in [*leases(folder), *folder.glob(".lease.*.tmp")]:
        if old != path:
            old.unlink(missing_ok=True)
    return Lease(path, owner)


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[Lease]:
    """Hold a folder that exists, as soon as no live process does."""
    while (lease := take(folder)) is None:
        time.sleep(POLL_SECONDS)
    try:
        with lease.beating(lost=lambda: None):  # the block asks by `check`, before it writes
            yield lease
    finally:
        lease.release()


def held(folder: Path, now: float) -> bool:
    """Whether a live process has the folder's lease. `now`: seconds since 1970. Creates no file."""
    path = newest(folder)
    return path is not None and alive(path, now)


def alive(path: Path, now: float) -> bool:
    """Whether the process that made this lease lives. `now`: by the file system's clock, since 1970."""
    try:
        # Opened again, so that a network file system gives the attributes of this moment.
        with path.open("rb") as file:
            content, beat = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return False
    owner = parse(content)
    here = machine()
    if here and owner.get("machine") == here:
        return owner.get("started") == started(owner.get("pid"))
    return now - beat < STALE_SECONDS


def parse(content: bytes) -> dict[str, Any]:
    """A lease's owner; empty if the file is damaged."""
    try:
        owner = json.loads(content)
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def leases(folder: Path) -> list[Path]:
    """The lease files in a folder."""
    return [path for path in folder.glob(f"{PREFIX}*") if path.name.removeprefix(PREFIX).isdigit()]


def newest(folder: Path) -> Path | None:
    """The lease file that counts."""
    return max(leases(folder), key=number, default=None)


def number(path: Path) -> int:
    """A lease file's number."""
    return int(path.name.removeprefix(PREFIX))


def me() -> dict[str, Any]:
    """This process, as others can tell whether it lives."""
    pid = os.getpid()
    return {"machine": machine(), "host": socket.gethostname(), "pid": pid, "started": started(pid)}


def machine() -> str:
    """This boot of this machine and its process namespace, where a pid means the same; empty: unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def started(pid: Any) -> int | None:
    """When the process started, in the kernel's ticks: with the pid, that names it; None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command in parentheses may hold anything, blanks and parentheses too.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])
