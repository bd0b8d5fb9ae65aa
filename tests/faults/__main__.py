"""Every fault, at every operation: the table in docs/reliability.md.

    OMP_NUM_THREADS=1 python -m tests.faults [--workers N] [--only TEXT] [--every N]

`--only` runs the kinds whose name holds the text, `--every` each n-th scenario. Exit code 1 if a scenario
ended otherwise than a calm run.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any

from tests.faults import scenarios
from tests.faults.cells import CELLS, Subject, Zygote
from tests.faults.watch import Fault, Operation, operations

AT_RANDOM = 12
"""Scenarios of each kind that is drawn, for each cell."""
EVERYTHING = ("critic", "previous")
"""Cells to which everything happens. The others write no file that these don't; but what they go on with is
their own, so they are killed."""
SLOW = {"adapters": 4, "two ranks": 24}
"""Cells whose attempts take seconds: of the places where others are killed, each so manieth is taken."""


@dataclass(frozen=True)
class Scenario:
    """What happens to which cell."""

    kind: str
    cell: str
    happens: Callable[..., object]
    arguments: tuple[Any, ...] = ()


class Bench:
    """One worker's cells."""

    def __init__(self, scratch: Path, cells: Iterable[str] = CELLS) -> None:
        scratch.mkdir()
        self.zygote = Zygote()
        self.subjects = {name: Subject(name, self.zygote, scratch / name) for name in cells}

    def run(self, number: int, scenario: Scenario) -> str:
        """Make it happen; returns what was wrong afterwards, nothing if nothing was."""
        subject = self.subjects[scenario.cell]
        folder = subject.new_folder(str(number))
        try:
            scenario.happens(subject, folder, *scenario.arguments)
        except Exception:
            return traceback.format_exc()
        finally:
            shutil.rmtree(folder)
            subject.trace(folder).unlink(missing_ok=True)
        return ""


def plan(subjects: dict[str, Subject]) -> Iterator[Scenario]:
    """Every scenario."""
    for name, subject in subjects.items():
        draw, calm = Random(name), subject.operations
        every = SLOW.get(name, 1)
        # Of two ranks, what the other one does to the disk is not seen.
        places = scenarios.changing(calm) if name == "two ranks" else scenarios.telling(calm)
        yield from islice(kills(name, [], calm, places), 0, None, every)
        for _ in range(-(-AT_RANDOM // every)):
            four = [Fault(draw.randrange(len(calm)), "kill") for _ in range(4)]
            yield Scenario("SIGKILL four times", name, scenarios.killed, (four,))
            seconds = [draw.uniform(0, 0.5) for _ in range(3)]
            yield Scenario("SIGKILL at three random times", name, scenarios.killed_in_time, (seconds,))
        if name in EVERYTHING:
            yield from failures(name, [], calm)
            yield from losses(name, subject, draw)
            yield from in_a_resumed_attempt(name, subject, draw)
    if "critic" in subjects and scenarios.can_mount(subjects["critic"].scratch):
        for kibibytes in range(4, 1024, 32):
            yield Scenario("a really full disk", "critic", scenarios.on_a_full_disk, (kibibytes,))


def kills(name: str, before: list[Fault], calm: list[Operation], places: list[int]) -> Iterator[Scenario]:
    """Kills of an attempt, which comes after others that are killed."""
    yield from each("SIGKILL between two operations", name, before, places, "kill", scenarios.killed)
    writes = scenarios.writes(calm)
    yield from each("SIGKILL in the middle of a write", name, before, writes, "tear", scenarios.killed)


def failures(name: str, before: list[Fault], calm: list[Operation]) -> Iterator[Scenario]:
    """Operations that fail, in an attempt that comes after others that are killed."""
    for kind, what, places in (
        ("ENOSPC at an operation", "ENOSPC", scenarios.changing(calm)),
        ("EIO at an operation", "EIO", list(range(len(calm)))),
        ("ENOSPC at an operation and all after it", "full", scenarios.allocating(calm)),
    ):
        yield from each(kind, name, before, places, what, scenarios.failed, calm)


def each(
    kind: str,
    name: str,
    before: list[Fault],
    places: list[int],
    what: str,
    happens: Callable[..., object],
    *more: Any,
) -> Iterator[Scenario]:
    """One fault at each of these operations."""
    where = " in the resumed attempt" if before else ""
    for place in places:
        yield Scenario(kind + where, name, happens, ([*before, Fault(place, what)], *more))


def losses(name: str, subject: Subject, draw: Random) -> Iterator[Scenario]:
    """What a disk loses by damage, and when the power fails."""
    kill, files = scenarios.damageable(subject.operations)
    for path in files:
        for damage in scenarios.DAMAGES:
            kind, seed = f"a file is damaged: {damage}", draw.randrange(2**32)
            yield Scenario(kind, name, scenarios.damaged, (kill, path, damage, seed))
    yield Scenario("power fails after the end", name, scenarios.done_is_durable)
    for image in scenarios.images(subject.operations, draw):
        yield Scenario("power fails", name, scenarios.out_of_power, (image,))


def in_a_resumed_attempt(name: str, subject: Subject, draw: Random) -> Iterator[Scenario]:
    """The same in an attempt that goes on after a kill, until it is where a calm run would be."""
    changing = scenarios.changing(subject.operations)
    kill = Fault(draw.choice(changing[len(changing) // 4 : -len(changing) // 4]), "kill")
    before, resumed = second_attempt(subject, kill)
    own = scenarios.caught_up(resumed)
    yield from kills(name, [kill], own, scenarios.telling(own, before))
    yield from failures(name, [kill], own)
    known = scenarios.images(before, Random(0))
    for image in scenarios.images(before + own, draw):
        if image not in known:
            yield Scenario("power fails in the resumed attempt", name, scenarios.out_of_power, (image,))


def second_attempt(subject: Subject, kill: Fault) -> tuple[list[Operation], list[Operation]]:
    """What is done until the first attempt is killed, and by the second one."""
    folder = subject.new_folder("second")
    subject.attempt(folder, kill)
    before = operations(subject.trace(folder))
    subject.attempt(folder)
    return before, operations(subject.trace(folder))[len(before) :]


def main() -> int:
    """Run them, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    # Not on a disk: what is lost there is the model's to say, and syncing takes its time.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        with ThreadPoolExecutor(options.workers) as pool:
            benches = list(pool.map(lambda i: Bench(Path(scratch) / str(i)), range(options.workers)))
        chosen = [each for each in plan(benches[0].subjects) if options.only in each.kind][:: options.every]
        wrong = run_all(chosen, benches)
    print_table(chosen, wrong)
    print(f"{len(chosen)} scenarios, {len(wrong)} wrong, {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


def run_all(chosen: list[Scenario], benches: list[Bench]) -> list[Scenario]:
    """Those that ended otherwise than a calm run; each is printed."""
    idle: SimpleQueue[Bench] = SimpleQueue()
    for bench in benches:
        idle.put(bench)

    def run(numbered: tuple[int, Scenario]) -> tuple[Scenario, str]:
        bench = idle.get()
        try:
            return numbered[1], bench.run(*numbered)
        finally:
            idle.put(bench)

    wrong = []
    with ThreadPoolExecutor(len(benches)) as pool:
        for done, (scenario, problem) in enumerate(pool.map(run, enumerate(chosen)), start=1):
            if problem:
                wrong.append(scenario)
                print(
                    f"{scenario.kind}, {scenario.cell}, {str(scenario.arguments)[:200]}\n{problem}",
                    flush=True,
                )
            if done % 100 == 0:
                print(f"{done} of {len(chosen)}, {len(wrong)} wrong", file=sys.stderr, flush=True)
    for bench in benches:
        bench.zygote.close()
    return wrong


def print_table(chosen: list[Scenario], wrong: list[Scenario]) -> None:
    """Scenarios by kind and cell, and how many of them went wrong."""
    counts = Counter((each.kind, each.cell) for each in chosen)
    failures = Counter(each.kind for each in wrong)
    print(f"| what happens | {' | '.join(CELLS)} | all | wrong |\n|---|{'---:|' * (len(CELLS) + 2)}")
    for kind in dict.fromkeys(each.kind for each in chosen):
        row = [counts[kind, cell] for cell in CELLS]
        print(f"| {kind} | {' | '.join(map(str, row))} | {sum(row)} | {failures[kind]} |")


if __name__ == "__main__":
    sys.exit(main())
