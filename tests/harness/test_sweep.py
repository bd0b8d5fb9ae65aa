"""The sweep as a user runs it: real cells, real failures."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.compose import compose_sweep
from harness.store import cell_id
from tests.harness.sweeps import TINY, cells, command, sweep, sweep_alone


def test_a_sweep_ends_with_a_report_and_resumes_for_free(tmp_path):
    first = sweep_alone(*TINY, "sweep.out=store", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "[2/2]" in first.stdout
    assert "report: store/report.html" in first.stdout
    assert (tmp_path / "store" / "report.html").stat().st_size > 10_000
    before = cells(tmp_path / "store")
    again = sweep(*TINY, "sweep.out=store", cwd=tmp_path)
    assert "2 cells, 2 done" in again.stdout
    assert cells(tmp_path / "store") == before


def test_a_killed_sweep_goes_on_to_the_same_numbers(tmp_path):
    calm = sweep(*TINY, "sweep.out=calm", cwd=tmp_path)
    assert calm.returncode == 0, calm.stderr
    process = subprocess.Popen(
        command(*TINY, "sweep.out=killed"), cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("runs/*/checkpoints/*/state.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    again = sweep(*TINY, "sweep.out=killed", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert cells(tmp_path / "killed") == cells(tmp_path / "calm")


def test_two_sweeps_of_one_directory_share_the_work(tmp_path):
    """Each cell is run once, by one of them; both end with all of it done."""
    here = command(*TINY, "sweep.out=store")
    both = [subprocess.Popen(here, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    attempts = [p.read_text().splitlines() for p in (tmp_path / "store").glob("runs/*/attempts.jsonl")]
    assert [len(lines) for lines in attempts] == [1, 1]
    assert list((tmp_path / "store").glob("runs/*/lease*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_sweep_writes_checkpoints_first(number, tmp_path):
    long = [*TINY, "budget.limit=5e12", "sweep.out=store"]
    process = subprocess.Popen(
        command(*long),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # As from a terminal: who runs tests in the background may have had Ctrl-C ignored for all of them.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while len(list((tmp_path / "store").glob("runs/*/checkpoints/*/state.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopping after the iteration in flight and a checkpoint" in said
    assert f"to go on: {shlex.join(['python', '-m', 'harness.sweep', *long])}" in said
    for run in (tmp_path / "store" / "runs").iterdir():
        last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])["iteration"]
        assert (run / "checkpoints" / str(last) / "state.json").exists(), "nothing has to be done again"


def test_other_code_is_not_mixed_in(tmp_path):
    assert sweep(*TINY, "sweep.out=store", cwd=tmp_path).returncode == 0
    for path in (tmp_path / "store").glob("runs/*grpo*/attempts.jsonl"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "code": "0123456789ab"}) + "\n")
    refused = sweep(*TINY, "sweep.out=store", cwd=tmp_path)
    assert refused.returncode == 2
    assert "1 of 2 cells in sweep.out=store were run by other code" in refused.stderr
    assert "launcher.allow_mixed_code=true" in refused.stderr
    assert sweep(*TINY, "sweep.out=store", "launcher.allow_mixed_code=true", cwd=tmp_path).returncode == 0


def test_a_failing_cell_does_not_stop_the_others(tmp_path):
    diverging = [*TINY, "model.lr=1e30", "sweep.out=store", "budget.limit=2e11"]
    done = sweep(*diverging, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("FAILED (it diverged: counts 0, and will diverge again)") == 2
    assert "2 of 2 cells diverged: that counts 0, and would happen again" in done.stderr
    assert "to try them again" not in done.stderr
    failures = [json.loads(p.read_text()) for p in (tmp_path / "store").glob("runs/*/failure.json")]
    assert [failure["kind"] for failure in failures] == ["algorithm"] * 2
    assert all("not finite" in failure["reason"] for failure in failures)
    assert (tmp_path / "store" / "report.html").exists(), "what is there is reported all the same"


def test_a_cell_that_can_not_be_written_is_named_and_the_other_runs(tmp_path):
    _, _, (first, second) = compose_sweep(TINY)
    broken = tmp_path / "store" / "runs" / cell_id(first)
    broken.mkdir(parents=True)
    (broken / "checkpoints").write_text("a file where a folder should be")
    done = sweep(*TINY, "sweep.out=store", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.count("FAILED: its directory can't be written") == 1
    assert [*cells(tmp_path / "store")] == [cell_id(second)]


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


DAMAGES = {
    "no metrics": ("metrics.jsonl", Path.unlink, "metrics.jsonl: no evaluation"),
    "short metrics": ("metrics.jsonl", cut, "metrics.jsonl is not what was written"),
    "garbage result": (
        "result.json",
        lambda path: path.write_text("garbage"),
        "result.json: not a JSON object",
    ),
    "no config": ("config.json", Path.unlink, "config.json: missing"),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished sweep."""
    folder = tmp_path_factory.mktemp("whole")
    done = sweep(*TINY, "sweep.out=store", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_cell_is_run_again_to_the_same_numbers(name, whole, tmp_path):
    file, damage, words = DAMAGES[name]
    shutil.copytree(whole / "store", tmp_path / "store")
    run = min((tmp_path / "store" / "runs").iterdir())
    before = {each: (run / each).read_bytes() for each in ("metrics.jsonl", "result.json", "config.json")}
    damage(run / file)
    again = sweep(*TINY, "sweep.out=store", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "1 done, 1 damaged: run again from what is intact" in again.stdout
    assert f"damaged ({words}" in again.stdout
    assert {each: (run / each).read_bytes() for each in before} == before
    assert "2 cells, 2 done" in sweep(*TINY, "sweep.out=store", "--dry-run", cwd=tmp_path).stdout


def test_a_store_that_is_moved_ends_the_sweep_with_a_line(tmp_path):
    long = [*TINY, "budget.limit=5e12"]
    here, there = tmp_path / "store", tmp_path / "moved"
    process = subprocess.Popen(
        command(*long, "sweep.out=store"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 120
    while len(list(here.glob("runs/*/checkpoints/*/state.json"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    here.rename(there)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "error: sweep.out=store was moved or removed while the sweep ran" in said
    assert "Traceback" not in said
    assert not here.exists(), "nothing is made where it was"
    assert not list(there.glob("runs/*/result.json"))
    planned = sweep(*long, "sweep.out=moved", "--dry-run", cwd=tmp_path).stdout
    assert "2 to resume from" in planned


def test_trials_and_variants_of_one_algorithm_have_lines_of_their_own(tmp_path):
    variants = ['sweep.algorithms=[grpo,"grpo clip_high=0.3"]', "sweep.out=store"]
    done = sweep(*TINY, *variants, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    titles = [line.split("] ")[1].split(":")[0] for line in done.stdout.splitlines() if "success" in line]
    assert sorted(titles) == ["grpo clip_high=0.2 seed 0 on vault", "grpo clip_high=0.3 seed 0 on vault"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["+sweep=smoke", "algorithm.credit_unit=trajectory"], "clashes with"),
        (["+sweep=smoke", "sweep.algorithms=[dqn]"], "algorithm=dqn does not exist"),
        (["+sweep=smoke", "sweep.seeds=[]"], "sweep.seeds is empty"),
        (["+sweep=smoke", "sweep.out=/proc/nowhere"], "can't be written"),
        (["+sweep=smoke", "--resume"], "--resume is not a flag"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, words, tmp_path):
    done = sweep_alone(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named_before_anything_starts(tmp_path):
    (tmp_path / "textworld.py").write_text("raise ImportError('no textworld here')")
    done = sweep_alone("+sweep=smoke", "env=textworld", cwd=tmp_path)
    assert done.returncode == 2
    assert "creditbench[textworld]" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_dry_run_plans_and_writes_nothing(tmp_path):
    done = sweep_alone("+sweep=all_algos", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert "42 cells, 0 done" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_help_says_everything(tmp_path):
    done = sweep_alone("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "budget.limit" in done.stdout
