"""A directory belongs to one sweep: more of it goes on, anything else is refused or added on purpose."""

import json
import subprocess
import threading

import pytest

from harness.compose import compose_sweep
from harness.errors import UserError
from harness.planning import directory
from harness.planning.declared import manifest
from harness.store import RunDir, cell_id, write_json
from reports.settings import settings
from reports.store import read_store
from tests.harness.sweeps import TINY, command, sweep, sweep_alone

SMALL = ["+sweep=smoke", "sweep.algorithms=[grpo,ppo]"]


def asked(*overrides: str):
    """A sweep's declaration and cells."""
    read, _, cells = compose_sweep([*SMALL, *overrides])
    return manifest(read, cells, " ".join(overrides)), cells, read.append


@pytest.fixture
def claim(tmp_path):
    """Have a sweep take the directory; returns what `sweep.json` says then."""

    def take(*overrides: str):
        declared, cells, append = asked(*overrides)
        directory.claim(tmp_path, declared, cells, append)
        for cell in cells:
            RunDir.create(tmp_path, cell)
        return json.loads((tmp_path / "sweep.json").read_text())

    return take


@pytest.fixture
def finish(tmp_path):
    """Let the runs that are there look finished."""

    def write() -> None:
        for run in (tmp_path / "runs").iterdir():
            write_json(run / "result.json", {})

    return write


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["sweep.seeds=[0,1,2]"],
        ["sweep.seeds=[2,0]"],
        ["sweep.algorithms=[steppo,ppo,grpo]"],
        ["sweep.envs=[vault,household]"],
        ["launcher.workers=3"],
        ["evaluation.record=0"],
    ],
    ids=" ".join,
)
def test_the_same_sweep_with_more_goes_on(claim, finish, more):
    first = claim()
    finish()
    assert set(first["cells"]) <= set(claim(*more)["cells"])


@pytest.mark.parametrize(
    "other",
    [
        ["env=household"],
        ["sweep.algorithms=[grpo]"],
        ["sweep.seeds=[1]"],
        ["budget.limit=7e10"],
        ["algorithm.clip_high=0.3"],
        ["sweep.envs=[household]"],
    ],
    ids=" ".join,
)
def test_another_sweep_is_refused_and_nothing_changes(claim, tmp_path, other):
    claim()
    before = (tmp_path / "sweep.json").read_bytes()
    with pytest.raises(
        UserError, match=r"belongs to another sweep .*set sweep.out=DIR, or sweep.append=true"
    ):
        claim(*other)
    assert (tmp_path / "sweep.json").read_bytes() == before


def test_what_is_compared_is_declared_before_results_are_known(claim, finish):
    mine = "sweep.contrasts={mine:{left:[grpo],right:[ppo]}}"
    claim()
    claim("sweep.sesoi=0.1", mine)
    finish()
    claim("sweep.sesoi=0.1", mine, "sweep.seeds=[0,1]")
    for option, changed in {
        "sweep.sesoi": [mine],
        "sweep.contrasts": ["sweep.sesoi=0.1"],
        "sweep.factors": ["sweep.sesoi=0.1", mine, "sweep.factors=[ratio_unit]"],
    }.items():
        with pytest.raises(UserError, match=f"has results, and {option} is not what was declared"):
            claim(*changed, "sweep.seeds=[0,1]")


def test_added_cells_stand_beside_those_that_are_there(claim):
    first = claim()
    both = claim("env=household", "sweep.append=true")
    assert both["cells"][:2] == first["cells"]
    assert sorted(both["environments"].values()) == ["household", "household", "vault", "vault"]
    assert sorted(both["arms"].values()) == ["grpo", "grpo", "ppo", "ppo"]
    assert both["command"] == " && ".join(["", "env=household sweep.append=true"]).removeprefix(" && ")
    again = claim("sweep.append=true")
    assert again["cells"] == both["cells"]


def test_an_added_arm_gets_a_name_of_its_own(claim):
    claim()
    arms = claim("algorithm.clip_high=0.3", "sweep.append=true")["arms"]
    assert sorted(arms.values()) == [
        *("grpo clip_high=0.2", "grpo clip_high=0.3", "ppo clip_high=0.2", "ppo clip_high=0.3"),
    ]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (["budget.limit=7e10"], "budget.limit is 5e\\+10 in sweep.out=.* and 7e\\+10 here"),
        (["env=household", "batch.trajectories=64"], "batch.trajectories is 32"),
        (["env.rooms=6"], "env.rooms is 5 in"),
        (["sweep.sesoi=0.1"], "sweep.sesoi=0.1 is 0.05 in"),
    ],
)
def test_what_can_not_be_compared_is_not_added(claim, other, words):
    claim()
    with pytest.raises(UserError, match=words):
        claim(*other, "sweep.append=true")


def test_a_damaged_file_is_written_anew(claim, tmp_path):
    first = claim()
    (tmp_path / "sweep.json").write_text("{")
    assert claim() == first


@pytest.mark.parametrize("append", [[], ["sweep.append=true"]], ids=["", "append"])
def test_a_store_of_another_version_is_named_in_one_line(claim, tmp_path, append):
    declared = claim()
    older = {**declared, "commit": "0ee4f7ac0786", "cells": [f"{cell}0" for cell in declared["cells"]]}
    del older["format"]
    write_json(tmp_path / "sweep.json", older)
    with pytest.raises(UserError, match=r"made by a version of CreditBench \(commit 0ee4f7ac0786\)") as error:
        claim(*append)
    assert "\n" not in str(error.value)


def test_of_two_sweeps_at_once_one_gets_the_directory(tmp_path):
    sweeps = [asked(), asked("env=household")]
    refused = []

    def take(declared, cells, append):
        try:
            directory.claim(tmp_path, declared, cells, append)
        except UserError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=take, args=each) for each in sweeps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert list(tmp_path.glob("lease*")) == []


@pytest.mark.slow
def test_a_report_shows_all_that_was_added(tmp_path):
    tiny = [*TINY, "sweep.algorithms=[grpo]", "sweep.out=store"]
    assert sweep(*tiny, cwd=tmp_path).returncode == 0
    refused = sweep(*tiny, "env=household", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    added = sweep(*tiny, "env=household", "sweep.append=true", cwd=tmp_path)
    assert added.returncode == 0, added.stderr
    found = settings(read_store(tmp_path / "store"))
    assert [(each.env, len(each.done)) for each in found] == [("household", 1), ("vault", 1)]
    page = (tmp_path / "store" / "report.html").read_text()
    assert "household" in page
    assert "vault" in page


@pytest.mark.slow
def test_a_second_sweep_in_a_directory_in_use_is_refused(tmp_path):
    long = [*TINY, "budget.limit=5e12", "sweep.out=store"]
    first = subprocess.Popen(command(*long), cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        while "cells" not in first.stdout.readline():
            assert first.poll() is None
        while not (tmp_path / "store" / "sweep.json").exists():
            assert first.poll() is None
        second = sweep_alone(*long, "env=household", cwd=tmp_path)
        assert second.returncode == 2
        assert "belongs to another sweep" in second.stderr
    finally:
        first.terminate()
        first.communicate(timeout=120)
    listed = json.loads((tmp_path / "store" / "sweep.json").read_text())["cells"]
    assert listed == [cell_id(cell) for cell in compose_sweep(long)[2]]
