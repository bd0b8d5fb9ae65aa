"""A warm start is made by one process, whole, and made again where it is damaged."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.config.plain import run_config
from harness.ledger import Ledger, Phase
from harness.policy.model import fingerprint
from harness.update import warm_start
from tests.faults.cells import cell


@pytest.fixture(scope="module")
def config() -> RunConfig:
    return run_config(cell("reference"))


def start(config: RunConfig, out: Path) -> tuple[str, Ledger]:
    """Load it or make it; its weights' fingerprint and what it cost."""
    ledger = Ledger()
    policy, _ = warm_start.load_or_make(config, out, ledger)
    return fingerprint(policy), ledger


def files(out: Path) -> dict[str, bytes]:
    (folder,) = (out / "warmstarts").iterdir()
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_of_several_processes_makes_it_and_the_others_wait(config, tmp_path, monkeypatch):
    real = warm_start.clone_random_play

    def counted(*arguments):
        with (tmp_path / "made").open("a") as file:
            file.write("once\n")
        return real(*arguments)

    monkeypatch.setattr(warm_start, "clone_random_play", counted)
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    processes = [
        context.Process(target=lambda: found.put(start(config, tmp_path / "store")[0])) for _ in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    fingerprints = {found.get() for _ in processes}
    assert (tmp_path / "made").read_text() == "once\n"
    assert fingerprints == {start(config, tmp_path / "elsewhere")[0]}
    assert files(tmp_path / "store") == files(tmp_path / "elsewhere")


@pytest.mark.parametrize("name", ["model.safetensors", "cost.json"])
def test_a_damaged_one_is_named_and_made_again(name, config, tmp_path, capsys):
    made, ledger = start(config, tmp_path)
    before = files(tmp_path)
    (folder,) = (tmp_path / "warmstarts").iterdir()
    (folder / name).write_bytes(before[name][:-9] + b"x" + before[name][-8:])
    (folder / f".{name}.host.1.tmp").write_bytes(b"half")
    again, ledger_again = start(config, tmp_path)
    assert f"is damaged ({name} " in capsys.readouterr().out
    assert again == made
    assert files(tmp_path) == before
    assert ledger_again.to_plain() == ledger.to_plain()
    assert ledger.entries[Phase.warm_start].tokens > 0


@pytest.mark.parametrize("updates", [1, 2, 10, 11])
def test_any_number_of_updates_will_do(updates, config, tmp_path):
    shorter = replace(config, model=replace(config.model, clone_updates=updates))
    weights, _ = start(shorter, tmp_path)
    assert weights != start(replace(config, model=replace(config.model, clone_updates=0)), tmp_path)[0]
