"""Whether the file system of a sweep's directory does what the run store counts on, and has the room."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

from harness.checkup.finding import Finding, fail, ok, warn
from harness.errors import UserError
from harness.planning.plan import Plan, check_disk, existing_folder
from harness.store.files import sync_folder, write_durably

REPLACEMENTS = 200
SLOW_SECONDS = 1.0
SKEW_SECONDS = 5.0
"""A lease is stale after a minute, by the file server's clock or by this machine's."""


def disk(planned: Plan) -> Iterator[Finding]:
    """Whether the cells have room."""
    try:
        check_disk(planned)
    except UserError as error:
        yield fail("disk", str(error))
        return
    free = shutil.disk_usage(existing_folder(Path(planned.sweep.out))).free
    yield ok(
        "disk",
        f"{free / 1e9:.3g} GB free; {planned.unfinished} cells take at most {planned.disk / 1e9:.3g} GB",
    )


def file_system(out: Path) -> Iterator[Finding]:
    """Whether writes are durable, renames whole, links exclusive, and clocks agree."""
    elsewhere = "set sweep.out to a folder on another file system"
    try:
        folder = Path(tempfile.mkdtemp(prefix=".doctor-", dir=existing_folder(out)))
    except OSError as error:
        yield fail("store", f"sweep.out={out} can't be written ({error.strerror}): set sweep.out=DIR")
        return
    try:
        for promise, check in PROMISES.items():
            try:
                yield check(folder)
            except (OSError, AssertionError) as error:
                yield fail("store", f"no {promise} in {existing_folder(out)} ({error}): {elsewhere}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def synced(folder: Path) -> Finding:
    """Files and folders can be synced, in a bearable time."""
    start = time.monotonic()
    write_durably(folder / "synced", b"content")
    sync_folder(folder)
    seconds = time.monotonic() - start
    if seconds > SLOW_SECONDS:
        return warn(
            "store",
            f"a small file takes {seconds:.1f} s until it is on the disk, and a checkpoint has several: "
            "set sweep.out to a faster file system, or raise launcher.checkpoint_seconds",
        )
    return ok("store", f"fsync of files and folders, {1000 * seconds:.0f} ms")


def replaced_whole(folder: Path) -> Finding:
    """While a file is replaced again and again, a reader finds the old content or the new one."""
    path, new, contents = folder / "replaced", folder / "new", (b"a" * 5000, b"b" * 9000)
    path.write_bytes(contents[0])
    problems: list[str] = []
    done = Event()

    def read() -> None:
        while not done.is_set() and not problems:
            try:
                if path.read_bytes() not in contents:
                    problems.append("a reader found neither the old content nor the new")
            except OSError as error:
                problems.append(f"a reader: {error.strerror}")

    reader = Thread(target=read)
    reader.start()
    for turn in range(REPLACEMENTS):
        new.write_bytes(contents[turn % 2])
        new.replace(path)
    done.set()
    reader.join()
    assert not problems, problems[0]
    return ok("store", f"rename replaces a file whole, {REPLACEMENTS} times under a reader")


def linked_once(folder: Path) -> Finding:
    """A hard link can be made, and not over one that is there: leases are taken so."""
    (folder / "owner").write_bytes(b"me")
    os.link(folder / "owner", folder / "lease")
    assert (folder / "lease").read_bytes() == b"me", "a link to a file has other content"
    try:
        os.link(folder / "owner", folder / "lease")
    except FileExistsError:
        return ok("store", "hard links, which fail if one is there: one process gets a cell")
    raise AssertionError("a second link took the place of the first")


def clocks(folder: Path) -> Finding:
    """The file system's clock is this machine's, nearly."""
    before = time.time()
    (folder / "now").write_bytes(b"")
    skew = (folder / "now").stat().st_mtime - before
    if abs(skew) > SKEW_SECONDS:
        return warn(
            "store",
            f"the file server's clock is {skew:+.0f} s off this machine's, so that dead runs may be shown as "
            "alive, or live ones as dead: have the clocks synchronised (NTP)",
        )
    return ok("store", "its clock agrees with this machine's")


PROMISES: dict[str, Callable[[Path], Finding]] = {
    "durable writes": synced,
    "atomic rename": replaced_whole,
    "exclusive hard links": linked_once,
    "clock": clocks,
}
