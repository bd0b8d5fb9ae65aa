"""docs/adding-an-algorithm.md, executed in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "adding-an-algorithm.md").read_text()
PARTS = ("algorithms", "envs", "harness", "reports", "sweeps", "tests")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_it_is_short():
    (code,) = blocks("python")
    assert len(code.splitlines()) < 60


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path):
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (path,) = re.findall(r"\*\*The file\*\*, `(.*?)`", PAGE)
    (code,) = blocks("python")
    (tmp_path / path).write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    for command in blocks("bash"):
        script = command.replace("python ", f"{sys.executable} ", 1)
        done = subprocess.run(
            script, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}{done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert "step_number" in (tmp_path / "runs" / "step_number" / "report.md").read_text()
