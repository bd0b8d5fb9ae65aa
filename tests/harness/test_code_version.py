"""A cell's code version changes with what can have a part in its numbers, and with nothing else."""

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

from harness.code_version import ROOT, SOURCES

SCRIPT = """
from algorithms.grpo import GRPO
from algorithms.ppo import PPO
from harness.code_version import code_version
from envs.vault import VaultSpec
print(code_version(GRPO(), VaultSpec()), code_version(PPO(), VaultSpec()))
"""
LOADED = """
import sys
import harness.run, harness.rollout.torch_engine
from pathlib import Path
print(*(m.__file__ for m in list(sys.modules.values()) if getattr(m, "__file__", None)), sep="\\n")
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the sources, to be edited."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("harness", "algorithms", "envs", "reports"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def versions(folder: Path) -> list[str]:
    """The versions of a GRPO and of a PPO cell in the vault that the sources in `folder` have."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=folder, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout.split()


def edited(folder: Path, name: str) -> list[str]:
    """The versions after an edit of one file, which is then taken back."""
    path = folder / name
    before = path.read_bytes()
    path.write_bytes(before + b"# a comment\n")
    try:
        return versions(folder)
    finally:
        path.write_bytes(before)


def test_edits_that_cannot_touch_a_number_leave_it(copy):
    before = versions(copy)
    outside = [
        *("harness/reading/cell.py", "harness/launch/local.py", "harness/launch/slurm/submit.py"),
        *("harness/planning/plan.py", "harness/compose/help.py", "harness/tracker/mirror.py"),
        *("harness/sweep.py", "harness/status.py", "harness/credit.py", "reports/compare.py"),
        *("envs/household/home.py", "envs/play.py", "envs/panel.py"),
    ]
    for name in outside:
        assert edited(copy, name) == before, name


def test_edits_of_what_makes_a_number_change_it(copy):
    grpo, ppo = versions(copy)
    for name in (
        *("harness/run.py", "harness/rollout/episodes.py", "harness/update/loss.py", "harness/rng.py"),
        *("harness/ranks.py", "envs/vault/layout.py", "envs/engines/game.py", "algorithms/factors.py"),
    ):
        changed = edited(copy, name)
        assert changed[0] != grpo, name
        assert changed[1] != ppo, name
    assert edited(copy, "algorithms/grpo.py")[1] == ppo, "another algorithm's own file does not count"
    assert edited(copy, "algorithms/grpo.py")[0] != grpo


def test_everything_that_a_cells_process_imports_counts():
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    ours = {Path(line) for line in done.stdout.splitlines() if Path(line).is_relative_to(ROOT)}
    ours = {path for path in ours if path.relative_to(ROOT).parts[0] in ("harness", "algorithms", "envs")}
    left_out = {str(path.relative_to(ROOT)) for path in ours - set(SOURCES)}
    assert left_out == {"harness/__init__.py"}
    assert find_spec("harness.run").origin in {str(path) for path in ours}


def test_the_order_of_rooms_names_every_room():
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    named = {name for layer in contract["layers"] for name in layer.replace("|", ":").split(" : ")}
    named = {name.strip() for each in named for name in each.split(":")}
    rooms = {f"harness.{p.stem}" for p in (ROOT / "harness").iterdir() if p.suffix == ".py"} | {
        f"harness.{p.name}" for p in (ROOT / "harness").iterdir() if (p / "__init__.py").exists()
    }
    assert rooms - named == {"harness.__init__"}
    assert {"reports", "algorithms", "envs"} <= named


CHECK = """
import sys
from pathlib import Path
from harness.compose import compose_run
from harness.errors import UserError
from harness.planning import codes
from harness.store import RunDir, append_line, write_json
from harness.code_version import code_version
cell, out = compose_run(["algorithm=grpo"]), Path(sys.argv[1])
if sys.argv[2] == "make":
    codes.note(out, [cell])
    run = RunDir.create(out, cell)
    write_json(run.result, {})
    append_line(run.attempts, {"iteration": 0, "code": code_version(cell.algorithm, cell.env)})
try:
    codes.check_code(out, [cell])
except UserError as error:
    print(error)
"""


def checked(folder: Path, out: Path, step: str) -> str:
    """What the sources in `folder` say to the store in `out`."""
    command = [sys.executable, "-c", CHECK, str(out), step]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_the_refusal_after_an_edit_names_the_files(copy, tmp_path):
    shutil.copytree(ROOT / "sweeps", copy / "sweeps")
    assert checked(copy, tmp_path, "make") == ""
    for name in ("harness/run.py", "algorithms/grpo.py", "algorithms/ppo.py"):
        with (copy / name).open("a") as file:
            file.write("# a comment\n")
    said = checked(copy, tmp_path, "check")
    assert "1 of 1 cells in sweep.out=" in said
    assert "(other: algorithms/grpo.py, harness/run.py)" in said
    for note in (tmp_path / "code").iterdir():
        note.unlink()
    assert "(other: version " in checked(copy, tmp_path, "check"), "a store of before the note"
