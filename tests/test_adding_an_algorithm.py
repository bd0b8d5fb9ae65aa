"""docs/adding-an-algorithm.md, executed in a copy of the project."""

import re

import pytest

from tests.pages import Page

PAGE = Page("adding-an-algorithm.md")


def test_it_is_short():
    (code,) = PAGE.blocks("python")
    assert len(code.splitlines()) < 60


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path):
    (path,) = re.findall(r"\*\*The file\*\*, `(.*?)`", PAGE.text)
    (code,) = PAGE.blocks("python")
    PAGE.execute(tmp_path, {path: code})
    assert "step_number" in (tmp_path / "runs" / "step_number" / "report.md").read_text()
