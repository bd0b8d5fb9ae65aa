"""docs/adding-an-environment.md, executed in a copy of the project."""

import json
import re

import pytest

from tests.pages import blocks, copy_of_project, execute, page

PAGE = page("adding-an-environment.md")


def test_it_is_short():
    (code,) = blocks(PAGE, "python")
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) < 40


@pytest.mark.slow
def test_the_page_works_as_it_stands(tmp_path):
    (package,) = re.findall(r"\*\*The package\*\*, `(.*?)`", PAGE)
    (options,) = re.findall(r"\*\*The YAML\*\*, `(.*?)`", PAGE)
    (code,), (yaml,) = blocks(PAGE, "python"), blocks(PAGE, "yaml")
    copy_of_project(tmp_path)
    for path, content in ((package, code), (options, yaml)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    for command in blocks(PAGE, "bash"):
        execute(command, tmp_path)
    store = tmp_path / "runs" / "backwards"
    results = [json.loads(path.read_text()) for path in store.glob("runs/*/result.json")]
    assert len(results) == 2
    for result in results:
        assert result["measure"] == "score"
        assert 0 < result["scores"][0] < 1, "random words: some are in their place, seldom all"
        assert result["scores"][0] <= result["final_score"] <= 1
        assert result["final_success"] <= result["final_score"], "success is all words right"
    lines = [json.loads(line) for line in next(store.glob("runs/*/metrics.jsonl")).open()]
    evaluation = next(line for line in lines if line["kind"] == "evaluation")
    assert 0 < evaluation["env_words"] <= 3, "the environment's own number"
    assert evaluation["stop_failed"] + evaluation.get("stop_solved", 0) == 1
