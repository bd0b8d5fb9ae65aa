"""docs/adding-an-algorithm.md, executed in a copy of the project."""

import re

import pytest

from tests.pages import blocks, copy_of_project, execute, page

PAGE = page("adding-an-algorithm.md")


def test_it_is_short():
    (code,) = blocks(PAGE, "python")
    assert len(code.splitlines()) < 60


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path):
    copy_of_project(tmp_path)
    (path,) = re.findall(r"\*\*The file\*\*, `(.*?)`", PAGE)
    (code,) = blocks(PAGE, "python")
    (tmp_path / path).write_text(code)
    for command in blocks(PAGE, "bash"):
        execute(command, tmp_path)
    assert "step_number" in (tmp_path / "runs" / "step_number" / "report.md").read_text()
