"""Every fault, at every operation: the table in docs/reliability.md.

    OMP_NUM_THREADS=1 python -m tests.faults [--workers 2] [--only TEXT] [--every N]

Takes two to three hours of one core. `--only` runs the kinds whose name holds the text, `--every` each n-th
scenario. Exit code 1 if a scenario ended otherwise than a calm run.
"""

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random
from typing import Any

from tests.faults import scenarios
from tests.faults.cells import CELLS, Subject, Zygote
from tests.faults.watch import Fault, Operation, operations

AT_RANDOM_TIMES = 50
"""Scenarios of that kind for each cell."""


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
        draw = Random(name)
        calm = subject.operations
        yield from in_an_attempt(name, "", [], calm)
        kill, files = scenarios.damageable(calm)
        for path in files:
            for damage in scenarios.DAMAGES:
                kind, seed = f"a file is damaged: {damage}", draw.randrange(2**32)
                yield Scenario(kind, name, scenarios.damaged, (kill, path, damage, seed))
        yield Scenario("power fails after the end", name, scenarios.done_is_durable)
        for image in scenarios.images(calm, draw):
            yield Scenario("power fails", name, scenarios.out_of_power, (image,))
        first = Fault(draw.choice(scenarios.changing(calm)[len(calm) // 4 : -len(calm) // 4]), "kill")
        before, resumed = second_attempt(subject, first)
        yield from in_an_attempt(name, " in the resumed attempt", [first], resumed)
        known = scenarios.images(before, Random(0))
        for image in scenarios.images(before + resumed, draw):
            if image not in known:
                yield Scenario("power fails in the resumed attempt", name, scenarios.out_of_power, (image,))
        for _ in range(AT_RANDOM_TIMES):
            kills = [Fault(draw.randrange(len(calm)), "kill") for _ in range(4)]
            yield Scenario("SIGKILL four times", name, scenarios.killed, (kills,))
            seconds = [draw.uniform(0, 1) for _ in range(3)]
            yield Scenario("SIGKILL at three random times", name, scenarios.killed_in_time, (seconds,))
    if "critic" in subjects and scenarios.can_mount(subjects["critic"].scratch):
        for kibibytes in range(4, 1024, 16):
            yield Scenario("a really full disk", "critic", scenarios.on_a_full_disk, (kibibytes,))


def in_an_attempt(name: str, where: str, before: list[Fault], calm: list[Operation]) -> Iterator[Scenario]:
    """One fault at each operation of an attempt, which comes after others that are killed."""

    def each(
        kind: str, numbers: list[int], what: str, happens: Callable[..., object], *more: Any
    ) -> Iterator[Scenario]:
        for number in numbers:
            yield Scenario(kind + where, name, happens, ([*before, Fault(number, what)], *more))

    changing, writes = scenarios.changing(calm), scenarios.writes(calm)
    yield from each("SIGKILL before an operation", changing, "kill", scenarios.killed)
    yield from each("SIGKILL in the middle of a write", writes, "tear", scenarios.killed)
    yield from each("ENOSPC at an operation", changing, "ENOSPC", scenarios.failed, calm)
    yield from each("EIO at an operation", list(range(len(calm))), "EIO", scenarios.failed, calm)
    full = scenarios.allocating(calm)
    yield from each("ENOSPC at an operation and all after it", full, "full", scenarios.failed, calm)


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
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    # Not on a disk: what is lost there is the model's to say, and syncing takes its time.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        benches = [Bench(Path(scratch) / str(i)) for i in range(options.workers)]
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
