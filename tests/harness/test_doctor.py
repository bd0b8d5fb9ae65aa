"""The doctor: a line a check, each with its mend where something is wrong, and nothing left behind."""

import os
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import harness.checkup.store
import harness.policy.rows
from harness import doctor
from harness.checkup import Verdict, ok
from harness.checkup.machine import misfit

SMALL = ["+sweep=smoke"]


@pytest.fixture
def examine(tmp_path, capsys):
    """Run the doctor on a small sweep; returns its exit code and its lines, by how bad they are."""

    def run(*overrides: str) -> tuple[int, dict[str, list[str]]]:
        code = doctor.main([*SMALL, f"sweep.out={tmp_path / 'out'}", *overrides])
        lines = capsys.readouterr().out.splitlines()
        return code, {
            verdict.value: [line for line in lines if line.startswith(f"{verdict.value} ")]
            for verdict in Verdict
        }

    return run


def test_a_sound_machine_is_ready_and_nothing_is_left_on_it(examine, tmp_path):
    code, lines = examine()
    assert (code, lines["FAIL"]) == (0, [])
    about = {line.split()[1] for line in lines["ok"]}
    assert about >= {"python", "libraries", "torch", "sweep", "store", "disk", "environment", "engine"}
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_one_line(capsys):
    assert doctor.main(["+sweep=smoke", "sweep.seeds=no"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("override", "about", "mend"),
    [
        ("sweep.out=/proc/here", "store", "set sweep.out=DIR"),
        ("sweep.out=/proc/here", "disk", "set sweep.out to another disk"),
        ("budget.limit=1", "sweep", "budget.limit"),
        ("launcher=slurm", "slurm", "choose launcher=local"),
    ],
)
def test_what_is_wrong_comes_with_its_mend(override, about, mend, examine, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")  # where no SLURM is
    code, lines = examine(override)
    assert code == 1
    found = [line for line in lines["FAIL"] if line.split()[1] == about]
    assert found
    assert all(mend in line for line in found)


@pytest.mark.skipif(bool(find_spec("vllm")), reason="vllm is installed")
def test_an_engine_that_is_not_installed_is_found(examine):
    code, lines = examine("engine=vllm", "model.heads=2")
    assert code == 1
    assert any("pip install 'creditbench[vllm]'" in line for line in lines["FAIL"])


def test_too_many_workers_are_slow_but_work(examine):
    code, lines = examine("launcher.workers=4096")
    assert code == 0
    assert any("set launcher.workers=" in line for line in lines["warn"])


def test_a_rename_that_is_not_atomic_is_found(examine, monkeypatch):
    def slowly(path: Path, target: Path) -> None:
        target.unlink()
        time.sleep(0.01)
        path.rename(target)

    monkeypatch.setattr(Path, "replace", slowly)
    code, lines = examine()
    assert code == 1
    [line] = lines["FAIL"]
    assert "no atomic rename" in line
    assert "set sweep.out to a folder on another file system" in line


def test_a_file_system_without_hard_links_is_found(examine, monkeypatch):
    def refused(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    code, lines = examine()
    assert code == 1
    assert ["no exclusive hard links" in line for line in lines["FAIL"]] == [True]


def test_a_clock_that_is_off_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(harness.checkup.store, "SKEW_SECONDS", -1.0)
    [line] = [
        str(each) for each in harness.checkup.store.file_system(tmp_path) if each.verdict.name == "warn"
    ]
    assert "have the clocks synchronised" in line


def test_an_engine_that_disagrees_with_training_is_found(examine, monkeypatch):
    real = harness.policy.rows.logprobs

    def off(policy, rows):
        logprob_T, *rest = real(policy, rows)
        return logprob_T + 1e-3, *rest

    monkeypatch.setattr(harness.policy.rows, "logprobs", off)
    code, lines = examine()
    assert code == 1
    [line] = lines["FAIL"]
    assert "1.0e-03 nats apart" in line


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on():
    def breaks():
        yield ok("first", "seen")
        raise ImportError("no module named x")

    found = list(doctor.examine({"broken": breaks, "last": lambda: [ok("last", "seen")]}))
    assert [(each.verdict, each.subject) for each in found] == [
        (Verdict.ok, "first"),
        (Verdict.fail, "broken"),
        (Verdict.ok, "last"),
    ]
    assert found[1].text == "ImportError: no module named x"


def test_libraries_are_compared_with_what_is_required():
    assert misfit(Requirement("numpy>=1")) == ""
    assert "is not within <1: pip install 'numpy<1'" in misfit(Requirement("numpy<1"))
    assert misfit(Requirement("creditbench-none")) == (
        "creditbench-none is missing: pip install 'creditbench-none'"
    )
