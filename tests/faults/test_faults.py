"""One fault of every kind, drawn at random but always the same; `python -m tests.faults` has them all."""

import json
from random import Random

import pytest

from tests.faults import power
from tests.faults.__main__ import Bench, plan
from tests.faults.cells import run_folder
from tests.faults.power import Disk
from tests.faults.watch import Operation


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("faults") / "bench", ["previous"])
    yield bench
    bench.zygote.close()


def test_the_cell_learns(bench):
    """Else equal weights would say nothing."""
    (subject,) = bench.subjects.values()
    lines = map(json.loads, (run_folder(subject.scratch / "calm") / "metrics.jsonl").open())
    assert all(line["grad_norm"] > 0.01 for line in lines if line["kind"] == "train")


@pytest.mark.slow
def test_a_cell_survives_a_fault_of_every_kind(bench):
    draw, by_kind = Random(0), {}
    for scenario in plan(bench.subjects):
        by_kind.setdefault(scenario.kind, []).append(scenario)
    assert len(by_kind) > 15
    chosen = [draw.choice(scenarios) for scenarios in by_kind.values()]
    problems = {each.kind: bench.run(number, each) for number, each in enumerate(chosen)}
    assert problems == dict.fromkeys(problems, "")


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
