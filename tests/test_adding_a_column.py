"""docs/adding-a-column.md, executed in a copy of the project."""

import re
from pathlib import Path

import pytest

from tests.pages import blocks, copy_of_project, execute, page

PAGE = page("adding-a-column.md")
EDIT = re.compile(
    r"in (?:`([^`]+)`|the same file), (above|below) `([^`]+)`(?:(?!```).)*?```python\n(.*?)```", re.DOTALL
)
NEW = re.compile(r"\*\*The method\*\*, `([^`]+)`.*?```python\n(.*?)```", re.DOTALL)


def test_a_column_takes_four_files():
    edited = {path for path, *_ in EDIT.findall(PAGE) if path}
    assert len(edited) + len(NEW.findall(PAGE)) + PAGE.count("> sweeps/algorithm/") == 4


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path):
    copy_of_project(tmp_path)
    edits = EDIT.findall(PAGE)
    assert len(edits) + len(NEW.findall(PAGE)) == len(blocks(PAGE, "python"))
    path = ""
    for named, side, place, code in edits:
        path = named or path
        insert(tmp_path / path, side, place, code)
    for new, code in NEW.findall(PAGE):
        (tmp_path / new).write_text(code)
    for command in blocks(PAGE, "bash"):
        execute(command, tmp_path)
    assert "information_gain" in (tmp_path / "runs" / "gain" / "report.md").read_text()
    execute("python -m tests.column_check", tmp_path)


def insert(file: Path, side: str, place: str, code: str) -> None:
    """Put lines above or below the only line that begins with `place`."""
    lines = file.read_text().splitlines(keepends=True)
    (number,) = [i for i, line in enumerate(lines) if line.lstrip().startswith(place)]
    number += side == "below"
    lines[number:number] = [code] if code.startswith((" ", "import")) else [code, "\n\n"]
    file.write_text("".join(lines))
