"""Pages that are executed in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("algorithms", "envs", "harness", "reports", "sweeps", "tests")


def page(name: str) -> str:
    """A page of docs/."""
    return (ROOT / "docs" / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def copy_of_project(folder: Path) -> None:
    """What a page may change, and what its commands need."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)


def execute(command: str, folder: Path) -> str:
    """What a page's shell command prints in the copy, which it runs with this Python."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    script = command.replace("python ", f"{sys.executable} ", 1)
    done = subprocess.run(
        script, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout
