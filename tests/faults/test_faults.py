"""A selection of faults, drawn at random but always the same; `python -m tests.faults` has them all."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import count
from random import Random

import pytest

from tests.faults import power, scenarios
from tests.faults.__main__ import Bench, Scenario, plan
from tests.faults.cells import Subject, run_folder
from tests.faults.power import Disk
from tests.faults.watch import Fault, Operation

KILLS = 200
KILLED = ["critic", "previous", "overlap"]
OF_A_KIND = 3


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("faults") / "bench", KILLED)
    yield bench
    bench.zygote.close()


def test_the_cells_learn(bench):
    """Else equal weights would say nothing."""
    for subject in bench.subjects.values():
        lines = map(json.loads, (run_folder(subject.scratch / "calm") / "metrics.jsonl").open())
        assert all(line["grad_norm"] > 0.01 for line in lines if line["kind"] == "train")


def attempts_to_kill(subject: Subject, draw: Random) -> Iterator[Callable[..., int]]:
    """What is drawn in turn: SIGKILL before an operation or in a write, and whenever a time is over."""
    for turn in count():
        if turn % 4 == 3:
            seconds = [draw.uniform(0, 0.5) for _ in range(5)]
            yield lambda folder, seconds=seconds: scenarios.killed_in_time(subject, folder, seconds)
        else:
            # In the first half: a resumed attempt has fewer operations, and is to be killed as well.
            places = [draw.randrange(len(subject.operations) // 2) for _ in range(5)]
            faults = [Fault(place, draw.choice(("kill", "tear"))) for place in places]
            yield lambda folder, faults=faults: scenarios.killed(subject, folder, faults)


@pytest.mark.slow
@pytest.mark.parametrize("name", KILLED)
def test_runs_that_are_killed_end_with_the_bytes_of_a_calm_one(name, bench):
    """At 200 points in all. Each run is killed up to five times."""
    subject, kills = bench.subjects[name], 0
    for turn, run in enumerate(attempts_to_kill(subject, Random(name))):
        kills += run(subject.new_folder(f"killed{turn}"))
        if kills >= KILLS / len(KILLED):
            break


@pytest.mark.slow
def test_other_faults_do_not_change_a_byte_either(bench):
    """Failing writes, full disks, damaged files, power failures: some of each kind."""
    draw, by_kind = Random(0), defaultdict[str, list[Scenario]](list)
    for scenario in plan(bench.subjects):
        by_kind[scenario.kind].append(scenario)
    others = {kind: each for kind, each in by_kind.items() if not kind.startswith("SIGKILL")}
    assert len(others) >= 13
    drawn = [
        each for members in others.values() for each in draw.sample(members, min(OF_A_KIND, len(members)))
    ]
    problems = [problem for number, each in enumerate(drawn) if (problem := bench.run(number, each))]
    assert not problems, "\n".join(problems)


def disk(*operations: Operation) -> Disk:
    disk = Disk()
    for operation in operations:
        disk.perform(operation)
    return disk


def test_the_model_of_a_disk_loses_what_was_not_synced():
    made = disk(
        Operation("open", "a"),
        Operation("write", "a", data=b"one"),
        Operation("fsync", "a"),
        Operation("fsync", ""),
        Operation("write", "a", data=b"two", offset=3),
        Operation("mkdir", "new"),
        Operation("rename", "a", target="new/b"),
        Operation("unlink", "c", failed=True),
    )
    assert made.after(power.ALL_LOST) == {"a": b"one"}
    assert made.after(power.NAMES_LOST) == {"a": b"onetwo"}
    assert made.after(power.CONTENT_LOST) == {"new": None, "new/b": b"one"}
    assert made.after(power.ZEROS) == {"new": None, "new/b": b"one\0\0\0"}
    assert made.after(power.KEPT) == {"new": None, "new/b": b"onetwo"}


def test_the_model_of_a_disk_truncates():
    content = [
        Operation("open", "a"),
        Operation("write", "a", data=b"0123"),
        Operation("write", "a", data=b"x", offset=1),
    ]
    for operation, expected in [
        (Operation("truncate", "a", offset=2), b"0x"),
        (Operation("truncate", "a", offset=6), b"0x23\0\0"),
        (Operation("open", "a"), b""),
        (Operation("open", "a", offset=4), b"0x23"),
    ]:
        assert disk(*content, operation).after(power.KEPT) == {"a": expected}
