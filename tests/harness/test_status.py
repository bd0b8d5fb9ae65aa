"""The board of a sweep: true about every store, and harmless to one that is in use."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from harness.board import terminal, wording
from harness.board.page import render
from harness.board.summary import Summary, summarise
from harness.board.sweep import Sweep, by_arm, read_sweep
from harness.lease import take
from harness.reading.cell import Budget, Cell, State, read_cell
from harness.status import main
from tests.conftest import need
from tests.harness.sweeps import TINY

DONE, HALF, FAILED, TORN, WAITING, HELD = (
    "ppo-vault-tiny-s0-aa", "grpo-vault-tiny-s0-ab", "ppo-vault-tiny-s1-ac", "grpo-vault-tiny-s1-ad",
    "ppo-vault-tiny-s2-ae", "grpo-vault-tiny-s2-af",
)  # fmt: skip
EVALUATION = {"kind": "evaluation", "iteration": 1, "flops": 40, "success": 0.25}
TRAIN = {"kind": "train", "iteration": 2, "flops": 50}
SECONDS = {"iteration": 2, "rollout": 6.0, "update": 4.0, "phases": {"decode": 5.0}, "peak_memory": 7}


def write_cell(out: Path, cell: str, *lines: object, **files: object) -> Path:
    """A cell that wrote these lines of metrics and these other files."""
    folder = out / "runs" / cell
    folder.mkdir(parents=True)
    config = {
        "algorithm": {"gamma": 1.0},
        "budget": {"axis": "flops", "limit": 100},
        "env": {"eval_tasks": 1},
        "evaluation": {"points": 1, "episodes": 1, "window": 1},
        "seed": 0,
    }
    for name, content in {"config": config, **files}.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    text = [line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines]
    (folder / "metrics.jsonl").write_text("".join(text))
    (folder / "timing.jsonl").write_text(json.dumps(SECONDS) + "\n")
    # Long ago, but for what a test writes itself.
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    return folder


def write_sweep(out: Path, *cells: str) -> None:
    content = {"name": "mixed", "command": "python -m harness.sweep +sweep=mixed", "cells": cells}
    (out / "sweep.json").write_text(json.dumps(content))


@pytest.fixture
def mixed(tmp_path):
    """One cell in each state."""
    write_cell(tmp_path, DONE, EVALUATION, result={"scores": [0.1, 0.75], "final_success": 0.75})
    write_cell(tmp_path, HALF, EVALUATION, TRAIN, '{"kind": "tr')
    write_cell(tmp_path, FAILED, EVALUATION, failure={"reason": "ValueError: [b]no[/b]\n\x1b[31mgood"})
    write_cell(tmp_path, TORN, EVALUATION, "\0\0\0\n")
    held = write_cell(tmp_path, HELD, EVALUATION)
    write_sweep(tmp_path, DONE, HALF, FAILED, TORN, WAITING, HELD)
    lease = take(held)
    assert lease
    yield tmp_path
    lease.release()


def states(sweep: Sweep) -> dict[str, State]:
    return {cell.id: cell.state for cells in sweep.arms.values() for cell in cells}


def content(out: Path) -> dict[str, object]:
    """Every path's bytes, times and inode."""
    paths = [out / "runs", *(out / "runs").rglob("*")]
    stats = {path: path.stat() for path in paths}
    return {
        str(path): (stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns, path.is_file() and path.read_bytes())
        for path, stat in stats.items()
    }


def test_every_state(mixed):
    assert states(read_sweep(mixed)) == {
        DONE: State.done,
        HALF: State.interrupted,
        FAILED: State.failed,
        TORN: State.damaged,
        WAITING: State.waiting,
        HELD: State.running,
    }


def test_what_is_said(mixed, capsys):
    assert main([str(mixed)]) == 1
    said = capsys.readouterr().out
    assert "mixed: 1 of 6 cells done, 1 running, 1 damaged, 1 failed, 1 interrupted, 1 waiting" in said
    # 1 + .5 + .4 + .4 of six budgets; what the damaged cell spent is not known.
    assert "budget spent: 38 % of 600 flops" in said
    whose = "not the algorithm's doing: missing until it is run again"
    log = f"(log: {mixed}/runs/{FAILED}/log.txt)"
    assert f"ppo seed 1: ValueError: [b]no[/b] [31mgood ({whose}) {log}" in said
    assert r"grpo seed 1: metrics.jsonl: not a JSON object: '\x00\x00\x00'" in said
    # The last evaluations of three ppo cells are 0.75 and 0.25, of the grpo cells 0.25 and 0.25.
    assert "ppo: 1/3 done, 46 % spent, success 0.50, range 0.25 to 0.75 (2), " in said
    assert "\x1b" not in said


def test_time_left(mixed):
    summary = summarise(read_sweep(mixed))
    ppo, grpo = summary.arms
    # 10 seconds for 1 + .4 budgets; for .5 + .4.
    assert ppo.pace == pytest.approx(20 / 1.4)
    assert grpo.pace == pytest.approx(20 / 0.9)
    # Open: a whole ppo cell; half, 0.6 and, as nobody knows what is intact, the whole of a grpo cell.
    assert summary.left == pytest.approx(20 / 1.4 + 2.1 * 20 / 0.9)
    assert summary.per_hour == pytest.approx(3600 / (20 / 0.9))


def test_unknown_is_a_question_mark(tmp_path):
    write_cell(tmp_path, DONE, EVALUATION, result={"scores": [0.5], "final_success": 0.5})
    write_sweep(tmp_path, DONE, HALF)
    idle = summarise(read_sweep(tmp_path))
    assert wording.time_left(idle) == "? (nothing is running)"
    assert wording.go_on(idle) == ["python -m harness.sweep +sweep=mixed"]
    cells = {
        "ppo": [Cell("p", "", "", 0, State.running, spent=0.5, seconds=5.0)],
        "grpo": [Cell("g", "", "", 0)],
    }
    busy = summarise(Sweep(tmp_path, "", "", cells, [], 0.0))
    assert wording.time_left(busy) == "? (no timing yet of grpo)"
    assert wording.go_on(busy) == []


def test_nothing_is_written_but_the_page(mixed):
    before = content(mixed)
    main([str(mixed)])
    assert content(mixed) == before
    assert main([str(mixed), "--html"]) == 1
    assert content(mixed) == before
    assert {path.name for path in mixed.iterdir()} == {"runs", "sweep.json", "status.html"}


AUDIT = """
import os, sys
def watch(event, arguments):
    if event == "open" and STORE in str(arguments[0]):
        path, _, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
            print(event, path)
from pathlib import Path
from harness.board.sweep import read_sweep
sys.addaudithook(watch)
print(len(read_sweep(Path(STORE)).arms))
"""


def test_no_file_is_opened_to_write(mixed):
    # What is there for an instant would be met by a runner only now and then: ask the interpreter instead.
    code = f"STORE = {str(mixed)!r}{AUDIT}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_arms_of_one_algorithm_are_kept_apart():
    cells = [
        Cell(f"ppo-vault-tiny-s{seed}-{place}", "vault", "tiny", seed, options={"gamma": gamma, "lam": 1})
        for seed in (0, 1)
        for place, gamma in (("a", 1.0), ("b", 0.9))
    ]
    waiting = [Cell(f"ppo-vault-tiny-s2-{place}", "vault", "tiny", 2) for place in "ab"]
    tuned = Cell("ppo-vault-tiny-s0-c", "vault", "tiny", 0, options={"gamma": 1.0, "lam": 1})
    arms = by_arm([*cells, *waiting, tuned], {tuned.id: "ppo tuned"}, {})
    assert {name: [cell.id[-4:] for cell in members] for name, members in arms.items()} == {
        "ppo gamma=1.0": ["s0-a", "s1-a", "s2-a"],
        "ppo gamma=0.9": ["s0-b", "s1-b", "s2-b"],
        "ppo tuned": ["s0-c"],
    }


def test_environments_of_one_name_are_kept_apart():
    cells = [
        Cell(f"ppo-vault-tiny-s{seed}-{place}", "vault", "tiny", seed) for seed in (0, 1) for place in "ab"
    ]
    environments = {cell.id: "vault" if cell.id.endswith("a") else "vault slip=0.1" for cell in cells}
    arms = by_arm(cells, dict.fromkeys(environments, "ppo"), environments)
    assert {name: [cell.seed for cell in members] for name, members in arms.items()} == {
        "ppo (vault)": [0, 1],
        "ppo (vault slip=0.1)": [0, 1],
    }


def test_arms_that_differ_beside_the_algorithm_are_kept_apart(tmp_path):
    write_cell(tmp_path, "ppo-vault-tiny-s0-aa", EVALUATION)
    folder = write_cell(tmp_path, "ppo-vault-tiny-s0-bb", EVALUATION)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model": {"lr": 0.1}}))
    write_sweep(tmp_path, "ppo-vault-tiny-s0-aa", "ppo-vault-tiny-s0-bb", "ppo-vault-tiny-s1-aa")
    arms = read_sweep(tmp_path).arms
    assert {name: len(cells) for name, cells in arms.items()} == {"ppo": 2, "ppo model.lr=0.1": 1}


@pytest.mark.parametrize("manifest", [None, "{torn", "[]", '{"cells": 3}'])
def test_a_lost_manifest_is_named_and_the_rest_shown(mixed, manifest, capsys):
    (mixed / "sweep.json").unlink()
    if manifest:
        (mixed / "sweep.json").write_text(manifest)
    (mixed / "runs" / "old stuff").mkdir()
    assert main([str(mixed)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"note: sweep\.json is (missing|damaged): .* not started are unknown", said)
    assert "note: not part of this sweep and not counted: runs/old stuff" in said
    assert "1 of 5 cells done" in said


@pytest.mark.parametrize(
    "files", [None, {}, {"sweep.json": '{"cells": []}'}, {"sweep.json": '{"cells": ["../a"]}'}]
)
def test_no_sweep_is_one_line_and_exit_2(tmp_path, files, capsys):
    for name, text in (files or {}).items():
        (tmp_path / name).write_text(text)
    assert main([str(tmp_path if files is not None else tmp_path / "none")]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1
    assert said.out == ""


CONFIG = (
    '{"budget": {"axis": "%s", "limit": %s}, "algorithm": {}, "env": {"eval_tasks": 1}, '
    '"evaluation": {"points": 1, "episodes": 1, "window": 1}}'
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", "{"),
        ("config.json", CONFIG % ("flops", "0")),
        ("config.json", CONFIG % ("flops", "1" + 400 * "0")),
        ("config.json", CONFIG % ("dollars", "1")),
        ("result.json", '{"scores": [], "final_success": 1}'),
        ("result.json", '{"scores": [NaN], "final_success": 1}'),
        ("result.json", '{"scores": [1]}'),
        ("metrics.jsonl", '{"kind": "evaluation", "success": 1}\n'),
        ("metrics.jsonl", '{"kind": "evaluation", "success": "much", "flops": 1}\n'),
        ("metrics.jsonl", "[" * 100_000 + "\n"),
        ("failure.json", "[]"),
    ],
)  # fmt: skip
def test_damage_is_named(tmp_path, name, text):
    folder = write_cell(tmp_path, HALF, EVALUATION)
    (folder / name).write_text(text)
    cell = read_cell(str(folder), HALF, 2e9)
    assert cell.state is State.damaged
    assert cell.reason.startswith(f"{name}: ")
    assert "\n" not in cell.reason


def test_a_long_file_is_read_from_its_end(tmp_path):
    padding = {**TRAIN, "note": "x" * 300}
    write_cell(tmp_path, HALF, EVALUATION, *[padding] * 500, {**TRAIN, "flops": 80})
    cell = read_cell(str(tmp_path / "runs" / HALF), HALF, 2e9)
    assert (cell.spent, cell.success, cell.budget) == (0.8, 0.25, Budget("flops", 100.0))


def test_a_cell_of_another_machine_runs_as_long_as_it_gives_signs_of_life(tmp_path):
    folder = write_cell(tmp_path, HALF, EVALUATION)
    (folder / "lease.3").write_text('{"machine": "another", "pid": 1, "started": 1}')
    os.utime(folder / "lease.3", (1e9, 1e9))
    for age, state in ((50, State.running), (70, State.interrupted)):
        assert read_cell(str(folder), HALF, 1e9 + age).state is state


def test_a_terminal_gets_a_board_that_fits(mixed):
    console = Console(width=80, force_terminal=True, color_system=None, file=io.StringIO(), record=True)
    console.print(terminal.board(summarise(read_sweep(mixed)), 80, most=0))
    said = console.export_text()
    assert "● 1 failed" in said
    assert "and 1 more" in said
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("width", [44, 50, 79, 80, 120])
def test_arms_keep_their_names_on_a_narrow_terminal(mixed, width):
    console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO(), record=True)
    console.print(terminal.arms(summarise(read_sweep(mixed)), width))
    head, _, ppo, grpo = (line.split() for line in console.export_text().splitlines() if line.strip())
    assert head[:4] == ["arm", "done", "spent", "success"]
    assert ppo[:4] == ["ppo", "1/3", "46", "%"]
    assert grpo[:4] == ["grpo", "0/3", "30", "%"]
    assert ("range" in head) == (width >= 80)


def test_a_divergence_is_not_to_be_tried_again(tmp_path):
    reason = "FloatingPointError: the gradient is not finite: the run has diverged"
    folder = write_cell(tmp_path, FAILED, EVALUATION, failure={"reason": reason, "kind": "algorithm"})
    write_sweep(tmp_path, FAILED)
    diverged = summarise(read_sweep(tmp_path))
    assert wording.go_on(diverged) == []
    assert any("it diverged: counts 0, and will diverge again" in line for line in terminal.lines(diverged))
    (folder / "failure.json").write_text('{"reason": "ConnectionError: refused"}')
    assert len(wording.go_on(summarise(read_sweep(tmp_path)))) == 1


def test_where_the_page_is_is_said(mixed, capsys):
    main([str(mixed), "--html"])
    assert f"page: {mixed / 'status.html'}" in capsys.readouterr().out.splitlines()
    main([str(mixed)])
    assert "page: " not in capsys.readouterr().out


def test_the_page_needs_no_network(mixed):
    page = render(summarise(read_sweep(mixed)))
    links = re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)([^"']+)""", page)
    assert links == [f"runs/{FAILED}/log.txt"]
    assert "://" not in page
    assert "@import" not in page
    assert '<meta http-equiv="refresh"' in page
    write_sweep(mixed, DONE)
    ended = render(summarise(read_sweep(mixed)))
    assert "refresh" not in ended
    assert "Everything has ended." in ended


def test_a_browser_shows_it(mixed, tmp_path_factory):
    need("chromium")
    main([str(mixed), "--html"])
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    command += [f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]
    command += ["--dump-dom", (mixed / "status.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "1 of 6 cells done" in done.stdout
    assert "ValueError: [b]no[/b] [31mgood" in done.stdout
    assert "CONSOLE" not in done.stderr


PHONE = """<!doctype html><body><iframe src="status.html" width="390" height="900"></iframe><script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const wide = [...page.querySelectorAll("*")].filter(each => each.getBoundingClientRect().right > 391);
  const width = page.documentElement.clientWidth;
  const beyond = page.documentElement.scrollWidth - width;
  document.title = `${beyond} beyond ${width}: ${wide.map(each => each.tagName)} end`;
});
</script>"""


def test_on_a_phone_nothing_is_cut(mixed, tmp_path_factory):
    need("chromium")
    main([str(mixed), "--html"])
    (mixed / "phone.html").write_text(PHONE)
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]
    command += ["--dump-dom", (mixed / "phone.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    # The scroll bar takes some of the 390 pixels.
    assert re.search(r"<title>0 beyond 3\d\d:  end</title>", done.stdout), done.stdout[:300]


def test_heavy_libraries_stay_out():
    heavy = {"torch", "transformers", "pandas", "numpy", "matplotlib", "hydra", "jinja2"}
    code = f"import sys, harness.status; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_watching_ends_with_the_sweep(tmp_path, capsys):
    write_cell(tmp_path, DONE, EVALUATION, result={"scores": [0.5], "final_success": 0.5})
    write_sweep(tmp_path, DONE)
    assert main([str(tmp_path), "--watch", "--html"]) == 0
    assert "1 of 1 cells done" in capsys.readouterr().out


def test_a_running_sweep_and_a_killed_one(tmp_path):
    command = [sys.executable, "-m", "harness.sweep", *TINY, "budget.limit=1e13", "sweep.out=store"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        live = wait_for(tmp_path / "store", lambda summary: any(cell.spent for cell in summary.cells))
        assert live.counts[State.running] >= 1
        assert live.counts[State.interrupted] == 0
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    dead = wait_for(tmp_path / "store", lambda summary: not summary.counts[State.running])
    assert dead.counts[State.interrupted] >= 1
    before = content(tmp_path / "store")
    assert main([str(tmp_path / "store")]) == 0
    assert content(tmp_path / "store") == before


def wait_for(out: Path, wanted: object) -> Summary:
    """The first look that shows what is wanted."""
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        if (out / "sweep.json").exists() and wanted(summary := summarise(read_sweep(out))):
            return summary
        time.sleep(0.05)
