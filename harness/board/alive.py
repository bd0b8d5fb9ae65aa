"""Who runs a cell, found out without touching its lock.

A worker takes a cell's `lock` with flock or gives up at once. Trying the lock from here, even shared and for
a microsecond, could make a worker that starts in that instant believe that the cell is busy. So the kernel's
list of held locks, /proc/locks, is read instead. It knows this machine only: where several machines may share
the file system, a cell that wrote recently counts as running too.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path

LOCAL = {"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"}
"""File systems that one machine has to itself."""
QUIET_SECONDS = 300.0
QUIET_LINES = 3.0
"""How long a cell of another machine may write nothing: the seconds, or the time of so many of its slowest
lines, whichever is more."""


@dataclass(frozen=True)
class Look:
    """What was held when the reading began."""

    at: float
    """Seconds since 1970."""
    held: frozenset[int]
    """Inodes of the held locks on the store's file system."""
    exact: bool
    """Whether only this machine can run the store's cells, and its locks are known."""

    def holds(self, lock: int | None, written: float) -> bool:
        """Whether a process of this machine runs the cell with this lock and time of its last write."""
        # What was written after the look can only come from a process that took the lock after it.
        return lock in self.held or written > self.at

    def recent(self, written: float, slowest: float) -> bool:
        """Whether a cell whose slowest line took so many seconds may have been quiet since its last write."""
        return self.at - written <= max(QUIET_SECONDS, QUIET_LINES * slowest)


def look(path: Path) -> Look:
    """Look for held locks on the file system of `path`."""
    now = time.time()
    try:
        device, kind = mount_of(path.resolve(), Path("/proc/self/mountinfo").read_text())
        held = held_on(device, Path("/proc/locks").read_text())
    except (OSError, ValueError):  # no Linux, or one that hides them
        return Look(now, frozenset(), False)
    return Look(now, held, kind in LOCAL)


def mount_of(path: Path, mountinfo: str) -> tuple[str, str]:
    """Device, in the form of /proc/locks, and kind of the file system that holds `path`."""
    best, found = -1, ("", "")
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        device, point = before.split()[2], unescape(before.split()[4])
        # The last one mounted on a point hides the others.
        if path.is_relative_to(point) and len(point) >= best:
            major, minor = map(int, device.split(":"))
            best, found = len(point), (f"{major:02x}:{minor:02x}", after.split()[0])
    return found


def unescape(point: str) -> str:
    r"""A mount point as the kernel writes it, with blanks as \040."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)


def held_on(device: str, locks: str) -> frozenset[int]:
    """Inodes on `device` that a process holds with flock."""
    held = re.findall(rf"^\d+: FLOCK +\S+ +WRITE +-?\d+ {device}:(\d+) ", locks, flags=re.MULTILINE)
    return frozenset(map(int, held))
