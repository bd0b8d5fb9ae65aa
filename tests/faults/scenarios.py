"""What happens to a cell, and what must be true afterwards: each scenario ends with a calm run's bytes."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from harness.launch import DONE, FAILED, UNWRITABLE
from tests.faults import power
from tests.faults.cells import Subject, outcome, run_folder
from tests.faults.watch import ALLOCATING, Fault, Operation, operations

KILLED = -9
WORDS = {"ENOSPC": "No space left on device", "EIO": "Input/output error", "full": "No space left on device"}
CHECKPOINT = re.compile(r"runs/[^/]+/checkpoints/(\d+)(/state\.json)?")


def killed(subject: Subject, folder: Path, faults: Sequence[Fault]) -> int:
    """One attempt after the other is killed, and the last one left in peace; returns how many were."""
    codes = [subject.attempt(folder, fault) for fault in faults]
    # A resumed attempt may end before it comes to the operation.
    assert {KILLED, DONE}.issuperset(codes), codes
    goes_on(subject, folder)
    return codes.count(KILLED)


def killed_in_time(subject: Subject, folder: Path, seconds: Sequence[float]) -> int:
    """Attempts are killed after so many seconds, wherever they are; returns how many were."""
    codes = [subject.attempt(folder, kill_after=each) for each in seconds]
    assert {KILLED, DONE}.issuperset(codes), codes
    goes_on(subject, folder)
    return codes.count(KILLED)


def failed(subject: Subject, folder: Path, faults: Sequence[Fault], calm: Sequence[Operation]) -> None:
    """An operation of the last attempt fails, after the others were killed. `calm`: what it does otherwise.

    The attempt says so, or the operation is one that may fail: the removal of what no longer counts, and what
    fails in a calm run as well (a file to be removed that isn't there, a folder to be made that is).
    """
    *kills, fault = faults
    for kill in kills:
        assert subject.attempt(folder, kill) == KILLED
    code, struck = subject.attempt(folder, fault), calm[fault.at]
    if code == DONE:
        assert struck.failed or struck.kind in ("unlink", "rmdir"), (
            f"{struck.kind} {struck.path} failed unnoticed"
        )
    else:
        assert code in (FAILED, UNWRITABLE), f"exit code {code}"
        assert WORDS[fault.what] in subject.why(folder), subject.why(folder)
    goes_on(subject, folder)


def on_a_full_disk(subject: Subject, folder: Path, kibibytes: int) -> None:
    """The disk is really full, and then it isn't any more. Needs root."""
    mount(folder, f"size={kibibytes}k")
    try:
        code = subject.attempt(folder)
        if code != DONE:
            assert code in (FAILED, UNWRITABLE), f"exit code {code}"
            assert WORDS["full"] in subject.why(folder), subject.why(folder)
        mount(folder, "remount,size=64m")
        goes_on(subject, folder)
    finally:
        subprocess.run(["umount", folder], check=True)


def mount(folder: Path, options: str) -> None:
    """A file system of its own."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)


def can_mount(scratch: Path) -> bool:
    """Whether this process may."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        try:
            mount(Path(folder), "size=4k")
        except (OSError, subprocess.CalledProcessError):
            return False
        subprocess.run(["umount", folder], check=True)
        return True


def goes_on(subject: Subject, folder: Path) -> None:
    """Another attempt takes the newest checkpoint that was finished, and ends like a calm run."""
    done = operations(subject.trace(folder))
    finished = any(each.target.endswith("/result.json") and not each.failed for each in done)
    iteration = subject.check(folder)
    if not finished:
        assert iteration == newest_checkpoint(done), "went on from an older one"


def newest_checkpoint(done: Sequence[Operation]) -> int:
    """The newest checkpoint's iteration after these operations; 0 where there is none."""
    found: set[int] = set()
    for each in done:
        if each.kind in ("rename", "unlink") and not each.failed:
            if named := CHECKPOINT.fullmatch(each.path):
                found.discard(int(named[1]))
            if named := CHECKPOINT.fullmatch(each.target):
                found.add(int(named[1]))
    return max(found, default=0)


def damaged(subject: Subject, folder: Path, kill: Fault, pattern: str, damage: str, seed: int) -> None:
    """A file is damaged after a kill. The log says so, and no number comes from it."""
    assert subject.attempt(folder, kill) == KILLED
    (path,) = folder.glob(pattern)
    content = DAMAGES[damage](path.read_bytes(), Random(seed))
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    subject.check_anew(folder)
    log = (run_folder(folder) / "log.txt").read_text()
    if damage != "missing" or path.name not in (
        "state.json",
        "cost.json",
    ):  # without them a folder is unfinished
        assert f"is damaged ({path.name} " in log, log


def flipped(content: bytes, draw: Random) -> bytes:
    """One bit of it is wrong."""
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes, Random], bytes | None]] = {
    "one bit is wrong": flipped,
    "cut short": lambda content, draw: content[: draw.randrange(len(content))],
    "zeros": lambda content, draw: bytes(len(content)),
    "missing": lambda content, draw: None,
}


def damageable(calm: Sequence[Operation]) -> tuple[Fault, list[str]]:
    """A kill just after checkpoint 2 is there, and patterns of the files that a run then goes on from."""
    commits = [number for number, each in enumerate(calm) if each.target.endswith("/checkpoints/2")]
    folder = "runs/*/checkpoints/2/"
    before = [each for each in calm[: commits[-1]] if "/checkpoints/.2.tmp/" in each.path]
    tensors = {Path(each.path).name for each in before if each.path.endswith(".safetensors")}
    lines = ["runs/*/metrics.jsonl", "runs/*/timing.jsonl"]
    starts = ["warmstarts/*/model.safetensors", "warmstarts/*/cost.json"]
    files = [*(folder + name for name in sorted(tensors)), f"{folder}state.json", *lines, *starts]
    return Fault(commits[-1] + 1, "kill"), files


def out_of_power(subject: Subject, folder: Path, image: power.Image) -> None:
    """The disk holds this when the power is back."""
    power.write(image, folder)
    subject.check(folder)


def images(done: Sequence[Operation], draw: Random) -> list[power.Image]:
    """All that may be found when the power fails after any of these operations, without repeats.

    Of what was not synced everything is lost, the names alone, the content alone, the content but not its
    size; and a random part.
    """
    disk, found = power.Disk(), {}
    for operation in done:
        disk.perform(operation)
        drawn = power.some_lost(draw)
        for failure in (power.ALL_LOST, power.NAMES_LOST, power.CONTENT_LOST, power.ZEROS, drawn):
            image = disk.after(failure)
            found[tuple(sorted(image.items()))] = image
    return list(found.values())


def done_is_durable(subject: Subject, folder: Path) -> None:
    """When an attempt says that it is done, a power failure takes nothing away."""
    disk = power.Disk()
    for operation in subject.operations:
        disk.perform(operation)
    power.write(disk.after(power.ALL_LOST), folder)
    assert outcome(folder) == subject.outcome


def telling(calm: Sequence[Operation], before: Sequence[Operation] = ()) -> list[int]:
    """The numbers of the operations before which a kill leaves what no earlier kill does.

    `before`: what earlier attempts did.

    What an fsync or a file that is opened anew leaves is what was there before: for a kill, nothing happened.
    """
    disk, found = power.Disk(), {}
    for operation in before:
        disk.perform(operation)
    for number, operation in enumerate(calm):
        found.setdefault(tuple(sorted(disk.after(power.KEPT).items())), number)
        disk.perform(operation)
    return list(found.values())


def caught_up(resumed: Sequence[Operation]) -> list[Operation]:
    """The operations of a resumed attempt until it has finished a checkpoint.

    From there on, it holds in memory and on the disk what an attempt does that was never killed.
    """
    first = next(number for number, each in enumerate(resumed) if CHECKPOINT.fullmatch(each.target))
    return list(resumed[: first + 2])


def changing(calm: Sequence[Operation]) -> list[int]:
    """The numbers of the operations that change the disk: between those a kill makes a difference."""
    return [number for number, each in enumerate(calm) if each.kind != "read"]


def writes(calm: Sequence[Operation]) -> list[int]:
    """The numbers of the writes."""
    return [number for number, each in enumerate(calm) if each.kind == "write"]


def allocating(calm: Sequence[Operation]) -> list[int]:
    """The numbers of the operations that need room on the disk."""
    return [number for number, each in enumerate(calm) if each.kind in ALLOCATING]
