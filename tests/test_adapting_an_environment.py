"""docs/adapting-an-environment.md, executed in a copy of the project."""

import json
import re
from pathlib import Path

import pytest

from tests.conftest import need_modules
from tests.pages import blocks, copy_of_project, execute, page

PAGE = page("adapting-an-environment.md")
MODULES = {"slide": ["gem", "reasoning_gym"], "lake": ["textarena"]}


def test_they_are_short():
    for code in blocks(PAGE, "python"):
        assert len([line for line in code.splitlines() if line.strip()]) < 40


@pytest.fixture(scope="module")
def adapted(tmp_path_factory) -> Path:
    """A copy of the project with the page's packages."""
    folder = tmp_path_factory.mktemp("adapted")
    copy_of_project(folder)
    paths = re.findall(r"`((?:envs|sweeps)/\S+/(?:__init__\.py|\w+\.yaml))`", PAGE)
    code, yaml = iter(blocks(PAGE, "python")), iter(blocks(PAGE, "yaml"))
    for path in paths:
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(next(code if path.endswith(".py") else yaml))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_the_page_works_as_it_stands(name, adapted):
    need_modules(*MODULES[name])
    lines = [line for block in blocks(PAGE, "bash") for line in block.splitlines()]
    tested, tried = [line for line in lines if name in line.split() or f"env={name} " in line]
    assert re.search(r"[\d]+ passed", execute(tested, adapted))
    said = execute(tried, adapted)
    if name == "slide":
        assert said.endswith("left after 2 steps\n")
    else:
        results = [json.loads(path.read_text()) for path in (adapted / "runs").rglob("result.json")]
        assert [result["measure"] for result in results] == ["success"]
        assert all(0 <= result["final_success"] < 1 for result in results)
        assert "report" in said
