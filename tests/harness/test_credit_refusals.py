"""`python -m harness.credit` refuses what is wrong: one line, exit code 2, nothing written."""

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from harness.credit import main
from tests.harness.recorded import complete, step, text, trajectory

BAD_LINES = {
    "torn": ('{"version": 1, "id": "x", "gro', ["in.jsonl:2:", "not JSON", "cut off"]),
    "no object": ("[1]", ["in.jsonl:2:", "must be an object"]),
    "a word": ("hello", ["in.jsonl:2:", "not JSON"]),
    "not UTF-8": (b'{"id": "\xff"}', ["in.jsonl:2:", "not UTF-8"]),
    "too deep": ("[" * 100_000, ["in.jsonl:2:", "nested too deeply"]),
    "too many digits": ("1" * 10_000, ["in.jsonl:2:", "not a usable number"]),
    "key twice": ('{"version": 1, "id": "a", "id": "b"}', ["in.jsonl:2:", '"id" stands twice']),
}

BAD_TRAJECTORIES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "other version": ({"version": 3}, ['"version" is 3', "reads versions 1 and 2"]),
    "version true": ({"version": True}, ['"version" is true', "reads versions 1 and 2"]),
    "no version": ({"version": ...}, ['"version" is missing', "reads versions 1 and 2"]),
    "score in version 1": ({"version": 1, "score": 0.5}, ['"score" is not a key']),
    "form in version 1": ({"version": 1, "steps": [step(well_formed=True)]}, ['"well_formed" is not a key']),
    "score too high": ({"version": 2, "score": 1.5}, ['"score" is 1.5: it must be 0 to 1']),
    "unknown stop": ({"version": 2, "stop": "solvd"}, ['"stop" is "solvd"', "did you mean solved?"]),
    "metrics no object": ({"version": 2, "metrics": [1]}, ['"metrics"']),
    "metric no number": ({"version": 2, "metrics": {"f1": "high"}}, ['"metrics": "f1"']),
    "no group": ({"group": ...}, ['"group" is missing']),
    "no steps": ({"steps": ...}, ['"steps" is missing']),
    "empty steps": ({"steps": []}, ['"steps" is empty']),
    "steps no list": ({"steps": {}}, ['"steps" must be a list, not {}']),
    "step no object": ({"steps": [step(), 3]}, ["step 1 must be an object, not 3"]),
    "id a number": ({"id": 7}, ['"id" must be a string, not 7']),
    "success a number": ({"success": 1}, ['"success" must be true or false, not 1']),
    "unknown key": ({"sucess": True}, ['"sucess" is not a key', "did you mean success?"]),
    "newline in a key": ({"a\nb": True}, ['"a\\nb" is not a key']),
    "info no object": ({"info": 3}, ['"info" must be an object, not 3']),
    "same id": ({"id": "first"}, ['the id "first" is taken, by', "in.jsonl:1"]),
    "parent alone": ({"parent": "first"}, ['"parent" needs "branch_step"']),
    "branch alone": ({"branch_step": 0, "branch_token": 0}, ['"branch_step" needs "parent"']),
    "unknown parent": (
        {"parent": "frist", "branch_step": 0, "branch_token": 0},
        ['the "parent" "frist" is not a trajectory of the file'],
    ),
    "parent of another group": (
        {"parent": "first", "branch_step": 0, "branch_token": 0, "group": "h"},
        ['"first" is of another group, "g"'],
    ),
    "own parent": ({"parent": "x", "branch_step": 0, "branch_token": 0}, ['"x" is its own ancestor']),
    "step beyond the parent": (
        {"parent": "first", "branch_step": 1, "branch_token": 0},
        ['"branch_step" is 1, but the last step of "first" is 0'],
    ),
    "token beyond the parent": (
        {"parent": "first", "branch_step": 0, "branch_token": 2},
        ['"branch_token" is 2, but the last token of step 0 of "first" is 1'],
    ),
    "other tokens than the parent": (
        {"parent": "first", "branch_step": 0, "branch_token": 1, "steps": [step(0, 2, response_ids=[5, 6])]},
        ["repeats its parent's tokens", "token 1 of step 0"],
    ),
    "nothing after the branch": (
        {"parent": "first", "branch_step": 0, "branch_token": 1, "steps": [step()]},
        ["repeats its parent's tokens"],
    ),
    "branch at a fraction": (
        {"parent": "first", "branch_step": 0.5, "branch_token": 0},
        ['"branch_step" must be a whole number of at least 0, not 0.5'],
    ),
}

BAD_STEPS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no reward": ({"reward": ...}, ['step 1: "reward" is missing']),
    "reward true": ({"reward": True}, ['step 1: "reward" must be a number', "not true"]),
    "reward a string": ({"reward": "1"}, ['step 1: "reward" must be a number', 'not "1"']),
    "reward null": ({"reward": None}, ['step 1: "reward" must be a number', "not null"]),
    "reward too large": ({"reward": 1e31}, ['step 1: "reward"', "at most 1e+30"]),
    "no ids": ({"response_ids": []}, ['step 1: "response_ids" is empty']),
    "ids no list": ({"response_ids": "ab"}, ['"response_ids" must be a list, not "ab"']),
    "an id of 1.5": ({"response_ids": [1, 1.5]}, ["must hold whole numbers, but number 1 is 1.5"]),
    "an id of true": ({"response_ids": [True, 1]}, ["must hold whole numbers, but number 0 is true"]),
    "a negative id": ({"response_ids": [1, -1]}, ['"response_ids": number 1 is -1, which is not a token id']),
    "a huge id": ({"response_ids": [2**63, 1]}, ["number 0 is 9223372036854775808, which is not a token id"]),
    "a bad prompt": ({"prompt_ids": [1, "x"]}, ['"prompt_ids" must hold whole numbers, but number 1 is "x"']),
    "valid a number": ({"valid": 0}, ['step 1: "valid" must be true or false, not 0']),
    "state a number": ({"state": 3}, ['step 1: "state" must be a string, not 3']),
    "observation null": ({"observation": None}, ['step 1: "observation" must be a string, not null']),
    "long value": ({"state": list(range(99))}, ["not [0, 1, 2,", "..."]),
    "too few values": ({"values": [1]}, ['"values" has 1 number, but "response_ids" has 2']),
    "too many values": ({"values": [1, 2, 3]}, ['"values" has 3 numbers, but "response_ids" has 2']),
    "a value of true": ({"values": [1, True]}, ['"values" must hold numbers, but number 1 is true']),
    "a value of null": ({"values": [None, 1]}, ['"values" must hold numbers, but number 0 is null']),
    "a huge value": ({"values": [1, 10**400]}, ['"values" must hold numbers of at most 1e+30', "number 1"]),
    "choices of numbers": ({"choices": [1, 0]}, ['"choices" must hold true or false, but number 0 is 1']),
    "too few choices": ({"choices": [True]}, ['"choices" has 1 number, but "response_ids" has 2']),
    "a token's text a number": ({"tokens": ["a", 1]}, ['"tokens" must hold strings, but number 1 is 1']),
    "too few token texts": ({"tokens": ["a"]}, ['"tokens" has 1 number, but "response_ids" has 2']),
    "true advantage true": ({"true_advantage": True}, ['"true_advantage" must be a number', "not true"]),
    "unknown key": ({"logprob": [1, 2]}, ['step 1: "logprob" is not a key', "did you mean logprobs?"]),
    "info no object": ({"info": []}, ['step 1: "info" must be an object, not []']),
}


def changed(original: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The original with other values; ... takes a key out."""
    return {key: value for key, value in {**original, **changes}.items() if value is not ...}


def bad_files() -> dict[str, tuple[bytes, list[str]]]:
    """Content and the words that its refusal must hold; the first line is always right."""
    first = text([trajectory("first", step(0, 2))])
    cases: dict[str, tuple[bytes, list[str]]] = {
        "empty": (b"", ["in.jsonl is empty"]),
        "UTF-16": (first.encode("utf-16"), ["in.jsonl:1:", "not UTF-8 but UTF-16", "save it as UTF-8"]),
        "blank": (b"\n\n", ["in.jsonl is empty"]),
    }
    for name, (line, words) in BAD_LINES.items():
        content = line if isinstance(line, bytes) else line.encode()
        cases[name] = (first.encode() + content, words)
    for name, (changes, words) in BAD_TRAJECTORIES.items():
        second = text([changed(trajectory("x", step(0, 2)), changes)])
        cases[name] = ((first + "\n" + second).encode(), ["in.jsonl:3:", *words])
    for name, (changes, words) in BAD_STEPS.items():
        second = text([trajectory("x", steps=[step(), changed(step(0, 2), changes)])])
        cases[f"step: {name}"] = ((first + second).encode(), ["in.jsonl:2:", *words])
    for number in ("NaN", "Infinity", "-Infinity"):
        for where in ('"reward": 0', '"info": {"a": 0}'):
            line = text([trajectory("x", step(0, info={"a": 0}))])
            line = line.replace(where, where.replace("0", number))
            cases[f"{number} for {where}"] = ((first + line).encode(), ["in.jsonl:2:", f": {number} is no"])
    line = text([trajectory("x", step(0, 2, values=[1, 12345]))])
    cases["1e999"] = ((first + line.replace("12345", "1e999")).encode(), ["step 0", "number 1 is Infinity"])
    cases["torn in the middle"] = ((first[:-3] + "\n" + first).encode(), ["in.jsonl:1:", "not JSON"])
    circle = [
        trajectory("x", parent="y", branch_step=0, branch_token=0),
        trajectory("y", parent="z", branch_step=0, branch_token=0),
        trajectory("z", parent="y", branch_step=0, branch_token=0),
    ]
    cases["circle"] = (text(circle).encode(), ["in.jsonl:2:", '"y" is its own ancestor'])
    return cases


BAD_FILES = bad_files()


def refused(arguments: list[str], words: Iterable[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Asserts that the command refuses its input, in one line that holds the words."""
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    for word in words:
        assert word in printed.err
    return printed.err


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_content_is_one_line_and_writes_nothing(name, tmp_path, capsys):
    content, words = BAD_FILES[name]
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    (tmp_path / "out.jsonl").write_text("as before")
    refused([str(file), "--algorithms", "grpo,arpo"], words, capsys)
    refused(
        [str(file), "--algorithms", "grpo", "--out", str(tmp_path / "out.jsonl")], [str(file), *words], capsys
    )
    assert (tmp_path / "out.jsonl").read_text() == "as before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


def test_only_the_last_line_may_be_cut_off(tmp_path, capsys):
    file = tmp_path / "in.jsonl"
    whole = text([trajectory("t")])
    file.write_text(whole[:-9] + "\n" + whole)
    assert "cut off" not in refused([str(file), "--algorithms", "grpo"], ["not JSON"], capsys)


ASKED = {
    "g2po": "state",
    "ppo": "values",
    "steppo": "values",
    "appo": "current_logprobs",
    "rloo": "logprobs",
    "oracle": "true_advantage",
}


@pytest.mark.parametrize("name", ASKED)
def test_an_algorithm_asks_for_its_fields_by_name(name, tmp_path, capsys):
    rows = complete()
    del rows[1]["steps"][1][ASKED[name]]
    file = tmp_path / "in.jsonl"
    file.write_text(text(rows))
    message = refused([str(file), "--algorithms", f"grpo,{name}"], [], capsys)
    assert message == (
        f'error: {file}:2: algorithm {name} needs "{ASKED[name]}" in every step; '
        'step 1 of trajectory "g1" has none\n'
    )


def test_an_option_may_ask_for_another_field(tmp_path, capsys):
    file = tmp_path / "in.jsonl"
    file.write_text(text([trajectory("t", step(state="s"))]))
    assert main([str(file), "--algorithms", "gigpo"]) == 0
    capsys.readouterr()
    similar = ["--algorithms", "gigpo", "--set", "gigpo.similarity=0.9"]
    refused([str(file), *similar], ['algorithm gigpo needs "observation"'], capsys)


BAD_ARGUMENTS = [
    ([], ["FILE", "--algorithms"]),
    (["in.jsonl"], ["--algorithms"]),
    (["in.jsonl", "--algorithms", ""], ["algorithm= does not exist", "g2po"]),
    (["in.jsonl", "--algorithms", "stepo"], ["algorithm=stepo does not exist", "did you mean steppo?"]),
    (["in.jsonl", "--algorithms", "grpo,ppo,grpo"], ["names grpo twice"]),
    (["in.jsonl", "--algorithms", "grpo", "--sett", "x"], ["--sett"]),
    (["in.jsonl", "--algorithms", "grpo", "--set", "ppo.gamma=1"], ["ppo is not among --algorithms"]),
    (["in.jsonl", "--algorithms", "grpo", "--set", "gamma=1"], ["is not NAME.OPTION=VALUE"]),
    (["in.jsonl", "--algorithms", "steppo", "--set", "steppo.gama=1"], ["gama", "did you mean gamma?"]),
    (["in.jsonl", "--algorithms", "steppo", "--set", "steppo._target_=x"], ["is not an option"]),
    (["in.jsonl", "--algorithms", "steppo", "--set", "steppo.gamma=high"], ["steppo.gamma", "high"]),
    (["in.jsonl", "--algorithms", "steppo", "--set", "steppo.gamma=???"], ["--set steppo.gamma=???"]),
    (["in.jsonl", "--algorithms", "steppo", "--set", "steppo.gamma={a"], ["--set steppo.gamma={a"]),
    (["in.jsonl", "--algorithms", "steppo", "--set", "steppo.gamma=${x"], ["--set steppo.gamma=${x"]),
    (["in.jsonl", "--algorithms", "steppo", "--set", "steppo.gamma=2"], ["gamma=2.0 must be 0 to 1"]),
    (
        ["in.jsonl", "--algorithms", "g2po", "--set", "g2po.graph_weight=.nan"],
        ["=nan must be a finite number"],
    ),
    (["in.jsonl", "--algorithms", "grpo", "--set", "grpo.gamma=0.9"], ["gamma=0.9 clashes with"]),
    (["in.jsonl", "--algorithms", "g2po", "--set", "g2po.baseline=none"], ["clashes with"]),
    (["in.jsonl", "--algorithms", "grpo", "--seed", "-1"], ["--seed"]),
    (["in.jsonl", "--algorithms", "grpo", "--seed", str(2**32)], ["--seed", "4294967295"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "in.jsonl"], ["is FILE itself"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "./link.jsonl"], ["is FILE itself"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "none/out.jsonl"], ["none/out.jsonl can't be written"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "in.jsonl/out"], ["can't be written"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "/proc/out.jsonl"], ["can't be written"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "."], ["is not a regular file"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "/dev/null"], ["is not a regular file"]),
    (["in.jsonl", "--algorithms", "grpo", "--out", "x" * 300], ["can't be written"]),
    (["missing.jsonl", "--algorithms", "grpo"], ["missing.jsonl can't be read", "No such file"]),
    (["missing.jsonl", "--algorithms", "grpo", "--out", "link.jsonl"], ["missing.jsonl can't be read"]),
    ([".", "--algorithms", "grpo"], [". can't be read", "directory"]),
    (["plain.gz", "--algorithms", "grpo"], ["plain.gz can't be unpacked"]),
    (["torn.gz", "--algorithms", "grpo"], ["torn.gz can't be unpacked"]),
    (["packed.jsonl", "--algorithms", "grpo"], ["packed.jsonl:1: not UTF-8", ".gz"]),
]


@pytest.mark.parametrize(("arguments", "words"), BAD_ARGUMENTS)
def test_bad_arguments_are_one_line_and_write_nothing(arguments, words, tmp_path, capsys, monkeypatch):
    content = text(complete())
    Path(tmp_path / "in.jsonl").write_text(content)
    Path(tmp_path / "link.jsonl").symlink_to("in.jsonl")
    Path(tmp_path / "plain.gz").write_text(content)
    Path(tmp_path / "torn.gz").write_bytes(gzip.compress(content.encode())[:-20])
    Path(tmp_path / "packed.jsonl").write_bytes(gzip.compress(content.encode()))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    refused(arguments, words, capsys)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "in.jsonl").read_text() == content
