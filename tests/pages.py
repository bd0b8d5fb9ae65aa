"""Pages of docs/ that a test executes in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PARTS = ("algorithms", "envs", "harness", "reports", "sweeps", "tests")


class Page:
    """A page with one Python file, perhaps a YAML, and commands."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / name).read_text()

    def blocks(self, language: str) -> list[str]:
        """The code blocks of a language."""
        return re.findall(rf"```{language}\n(.*?)```", self.text, flags=re.DOTALL)

    def execute(self, folder: Path, files: dict[str, str]) -> None:
        """Copy the project into `folder`, write the page's files, run its commands one after another."""
        for part in PARTS:
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
        for command in self.blocks("bash"):
            script = command.replace("python ", f"{sys.executable} ", 1)
            done = subprocess.run(
                script, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}{done.stdout[-3000:]}{done.stderr[-3000:]}"
