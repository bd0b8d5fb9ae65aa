"""However a command ends, it is one line and the right exit code."""

import errno
import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.code_version import ROOT
from harness.errors import UserError
from harness.terminal import command

COMMANDS = [
    *("harness.sweep", "harness.doctor", "harness.status", "harness.track", "harness.tune", "harness.models"),
    *("harness.credit", "harness.compose.preset", "reports.compare", "reports.viewer", "reports.power"),
    *("harness.prompts", "envs.play", "envs.panel"),
]
ELSEWHERE = {
    *("harness.run", "harness.multirun"),
    *("harness.launch.peer", "harness.launch.slurm.start", "envs.engines.serve"),
}
"""Wrapped where it is called; Hydra's own; three that are no commands of a user."""


def ending(error: BaseException, capsys) -> tuple[int, str]:
    """The exit code of a command that raises this, and what it says."""

    @command("harness.mine")
    def main(arguments):
        raise error

    code = main(["a b"])
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("what is wrong"), 2, "error: what is wrong\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted; to go on: python -m harness.mine 'a b'\n"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 1, "error: x: Permission denied\n"),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "error: No space left on device; make room, then give the same command again\n",
        ),
        (SystemExit(2), 2, ""),
        (SystemExit(), 0, ""),
    ],
)
def test_whatever_ends_a_command_is_one_line(error, code, words, capsys):
    assert ending(error, capsys) == (code, words)


def test_a_fault_of_the_program_keeps_its_traceback(capsys):
    with pytest.raises(ZeroDivisionError):
        ending(ZeroDivisionError(), capsys)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_so(name):
    main = importlib.import_module(name).main
    assert main.__wrapped__.__module__ == name
    assert main.__closure__ is not None
    assert name in [cell.cell_contents for cell in main.__closure__ if isinstance(cell.cell_contents, str)]


def test_no_command_is_left_out():
    files = [path for top in ("harness", "envs", "reports") for path in (ROOT / top).rglob("*.py")]
    mains = [path for path in files if '__name__ == "__main__"' in path.read_text()]
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in mains}
    assert names == {*COMMANDS} | ELSEWHERE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_later_ones_wait(number, capsys):
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
    done = []

    @command("harness.mine")
    def main(arguments):
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            for each in (signal.SIGTERM, signal.SIGHUP):
                os.kill(os.getpid(), each)
            done.append("a checkpoint")

    assert main([]) == 130
    assert done == ["a checkpoint"]
    assert "to go on: python -m harness.mine" in capsys.readouterr().err
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)] == before


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:

        @command("harness.mine")
        def main(arguments):
            os.kill(os.getpid(), signal.SIGHUP)
            return 0

        assert main([]) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


BUFFERED = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}


def python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, cwd=ROOT, **options
    )


MINE = """
import sys, time
from harness.errors import UserError
from harness.terminal import command
@command("harness.mine")
def main(arguments):
    {body}
    return 0
sys.exit(main([]))
"""


def test_a_terminal_that_is_not_utf_8_gets_question_marks():
    body = "print('0.31 − 0.28 ± 0.1'); raise UserError('a “name”')"
    done = python("-c", MINE.format(body=body), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stdout, done.stderr) == (2, "0.31 ? 0.28 ? 0.1\n", "error: a ?name?\n")


def test_a_reader_that_leaves_is_no_error(tmp_path):
    for body in ("print('x' * 100)", "[print('x' * 1000, flush=True) for _ in range(1000)]"):
        script = tmp_path / "mine.py"
        script.write_text(MINE.format(body=f"time.sleep(0.3); {body}"))
        shell = f"{sys.executable} {script} | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", shell],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=BUFFERED,
        )
        assert done.stderr == ""
        assert done.returncode == (141 if "1000" in body else 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_output_that_finds_no_room_is_one_line():
    with open("/dev/full", "w") as full:
        script = MINE.format(body="print('x')")
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, env=BUFFERED
        )
    assert done.returncode == 1
    assert re.fullmatch(r"error: standard output: No space left on device; make room.*\n", done.stderr)


def test_a_file_that_can_not_be_written_is_named(tmp_path):
    """By the error of a write, which names no file."""
    body = (
        "import resource, pathlib; from harness.store import write_json; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); "
        f"write_json(pathlib.Path({str(tmp_path)!r}) / 'report.json', {{1: 2}})"
    )
    done = python("-c", MINE.format(body=body))
    assert (done.returncode, done.stderr) == (1, f"error: {tmp_path}/report.json: File too large\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["harness.sweep", "+sweep=all_algos"], ["reports.compare", "runs/none"]]
)
def test_an_interrupt_while_libraries_are_imported_leaves_no_traceback(arguments, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=BUFFERED,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    maps = Path(f"/proc/{process.pid}/maps")
    while "numpy" not in maps.read_text():  # among the first of the libraries
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    said, wrong = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in said + wrong
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    arguments = ["algorithm=grpo", "batch.trajectories=16", "batch.minibatches=1", "model.clone_updates=20"]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.run", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=BUFFERED,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(tmp_path.glob("runs/single/runs/*/metrics.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == f"\ninterrupted; to go on: python -m harness.run {' '.join(arguments)}\n"


def test_empty_paths_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("reports.compare", "reports.power", "harness.status"):
        assert importlib.import_module(name).main([""]) == 2
        said = capsys.readouterr().err
        assert "the path is empty" in said
        assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_algorithm_with_a_syntax_error_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "broken_method.py").write_text("def credit(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    main = importlib.import_module("harness.sweep").main
    assert main(["+sweep=smoke", "algorithm._target_=broken_method.Broken"]) == 2
    said = capsys.readouterr().err
    assert "broken_method.py, line 1" in said
    assert said.count("\n") == 1
