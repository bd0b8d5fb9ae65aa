"""`python -m harness.credit` as a user runs it: files in, lines out, and one line for every mistake."""

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import ndtri

from algorithms.base import Credit
from algorithms.grpo import GRPO
from harness.config.compose import group_options
from harness.credit import built, credited, main
from harness.records.batch import Batch
from harness.records.files import (
    BRANCH_KEYS,
    COLUMN_KEYS,
    GIVEN_COLUMNS,
    INFO,
    OPTIONAL_STEP_KEYS,
    REQUIRED_KEYS,
    REQUIRED_STEP_KEYS,
    read_trajectories,
)
from harness.rng import uniforms

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
DOCUMENT = (ROOT / "docs" / "trajectory-format.md").read_text()
CLOSE = {"rtol": 0, "atol": 1e-6}
ALGORITHMS = group_options("algorithm")


def step(reward: float = 0, tokens: int = 1, **others: Any) -> dict[str, Any]:
    return {"reward": reward, "response_ids": list(range(tokens)), **others}


def trajectory(name: str = "t", *steps: dict[str, Any], **others: Any) -> dict[str, Any]:
    solved = bool(steps) and steps[-1]["reward"] > 0
    first = {"version": 1, "id": name, "group": "g", "success": solved, "steps": list(steps) or [step()]}
    return {**first, **others}


def complete() -> list[dict[str, Any]]:
    """Two groups of ragged trajectories with every field, one of each group a continuation."""
    noise = np.random.default_rng(0)
    made = []
    for group in ("g", "h"):
        roots = [trajectory(f"{group}{i}", *ragged(noise, i % 2), group=group) for i in range(3)]
        parent = roots[1]
        kept = parent["steps"][0]
        last = {**ragged(noise, 1)[-1], "response_ids": [*parent["steps"][1]["response_ids"][:1], 5, 6, 7]}
        child = trajectory(f"{group}3", kept, with_numbers(last, noise), group=group)
        made += [*roots, {**child, "parent": parent["id"], "branch_step": 1, "branch_token": 1}]
    return made


def ragged(noise: np.random.Generator, reward: int) -> list[dict[str, Any]]:
    steps = []
    count = int(noise.integers(2, 5))
    for left in range(count, 0, -1):
        state = str(noise.choice(["a", "b"]))
        texts = {"state": state, "observation": f"room {state}", "valid": bool(noise.random() < 0.8)}
        ids = noise.integers(0, 50, noise.integers(2, 5)).tolist()
        others = {
            **texts,
            "true_advantage": noise.normal(),
            "prompt_ids": [1, 2],
            "info": {"anything": [None]},
        }
        bare = {"reward": reward * (left == 1), "response_ids": ids, **others}
        steps.append(with_numbers(bare, noise))
    return steps


def with_numbers(bare: dict[str, Any], noise: np.random.Generator) -> dict[str, Any]:
    length = len(bare["response_ids"])
    names = ("logprobs", "current_logprobs", "reference_logprobs")
    drawn = {name: (-noise.uniform(0, 2, length)).tolist() for name in names}
    others = {
        "entropies": noise.uniform(0, 2, length).tolist(),
        "values": noise.normal(0, 1, length).tolist(),
    }
    return {**bare, **drawn, **others, "choices": [True] * (length - 1) + [False]}


def text(trajectories: Iterable[Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in trajectories)


@pytest.fixture
def credit(tmp_path, capsys):
    """Runs the command on trajectories and gives back its lines."""

    def run(trajectories: Iterable[Any], algorithms: str, *arguments: str) -> list[dict[str, Any]]:
        file = tmp_path / "in.jsonl"
        file.write_text(text(trajectories))
        assert main([str(file), "--algorithms", algorithms, *arguments]) == 0, capsys.readouterr().err
        printed = capsys.readouterr()
        assert printed.err == ""
        return [json.loads(line) for line in printed.out.splitlines()]

    return run


def of_steps(lines: Iterable[dict[str, Any]]) -> list[float]:
    """The advantages of all steps, each the same in all of its tokens."""
    steps = [values for line in lines for values in line["advantages"]]
    assert all(len(set(values)) == 1 for values in steps)
    return [values[0] for values in steps]


def test_steppo_worked_numbers(credit):
    expected = json.loads((GOLDEN / "steppo.json").read_text())["G1 paper g=.99 lam=1"]["step"]
    steps = [step(0, 2, values=[0.5, 0.25]), step(1, 3, values=[0.75, 0.5, 0.25])]
    [white] = credit([trajectory("t", *steps)], "steppo", "--set", "steppo.gamma=0.99")
    [raw] = credit([trajectory("t", *steps)], "steppo", "--set", "steppo.normalise_unit=none")
    assert [len(values) for values in white["advantages"]] == [2, 3]
    np.testing.assert_allclose(np.concatenate(white["advantages"]), expected["adv_tok"], **CLOSE)
    np.testing.assert_allclose(of_steps([raw]), expected["adv_raw"], **CLOSE)
    for line in (white, raw):
        first = [values[0] for values in line["returns"]]
        np.testing.assert_allclose(first, expected["ret"], **CLOSE)
        assert [values[1:] for values in line["returns"]] == [[None], [None, None]]
        assert line["trained"] is True


def test_token_critics_have_a_target_at_every_token(credit):
    expected = json.loads((GOLDEN / "steppo.json").read_text())["G1 paper g=.99 lam=1"]["token"]
    steps = [step(0, 2, values=[0.5, 0.25]), step(1, 3, values=[0.75, 0.5, 0.25])]
    [line] = credit([trajectory("t", *steps)], "ppo")
    np.testing.assert_allclose(np.concatenate(line["advantages"]), expected["adv_white"], **CLOSE)
    np.testing.assert_allclose(np.concatenate(line["returns"]), expected["ret"], **CLOSE)


@pytest.mark.parametrize("gamma", ["0.5", "0.95"])
@pytest.mark.parametrize("mode", ["mean_norm", "mean_std_norm"])
def test_g2po_and_gigpo_worked_numbers(gamma, mode, credit):
    """g2po.json's example: A->B->C->success, A->B->D->failure, A->A (invalid)->D->C->success."""
    expected = json.loads((GOLDEN / "g2po.json").read_text())[f"gamma={gamma},{mode}"]
    rows = [
        trajectory("1", step(0, 2, state="A"), step(0, 1, state="B"), step(10, 3, state="C")),
        trajectory("2", step(0, 1, state="A"), step(0, 1, state="B"), step(0, 1, state="D")),
        trajectory(
            "3",
            step(0, 2, state="A", valid=False),
            *(step(0, 1, state="A"), step(0, 1, state="D"), step(10, 1, state="C")),
        ),
    ]
    settings = []
    for name in ("g2po", "gigpo"):
        options = [f"gamma={gamma}", "equations=released", "invalid_penalty=0.1"]
        options += ["normalise_unit=none"] if mode == "mean_norm" else []
        settings += [part for option in options for part in ("--set", f"{name}.{option}")]
    lines = credit(rows, "g2po,gigpo", *settings)
    assert [(line["algorithm"], line["trajectory"]) for line in lines] == [
        *(("g2po", row) for row in "123"),
        *(("gigpo", row) for row in "123"),
    ]
    assert all(line["returns"] is None for line in lines)
    np.testing.assert_allclose(of_steps(lines[:3]), expected["g2po"], **CLOSE)
    np.testing.assert_allclose(of_steps(lines[3:]), expected["gigpo"], **CLOSE)


def test_kl_in_the_reward_is_taken_off_first(credit):
    """k1 with coefficient 0.5: rewards 1 - 0.5 (-1 + 2) = 0.5 and 0 - 0, each against the other."""
    known = {"reference_logprobs": [-2.0]}
    rows = [
        trajectory("a", step(1, logprobs=[-1.0], **known)),
        trajectory("b", step(0, logprobs=[-2.0], **known)),
    ]
    lines = credit(rows, "rloo", "--set", "rloo.kl_coef=0.5")
    np.testing.assert_allclose(of_steps(lines), [0.5, -0.5], rtol=0, atol=1e-12)


def test_random_credit_follows_the_seed(credit):
    """Keys are (group, place in the group, step, 0), whatever the order of the groups' lines."""
    rows = [trajectory("a"), trajectory("x", group="h"), trajectory("b", step(), step())]
    counters = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 1, 0]], dtype=np.uint64)
    for seed in (0, 7):
        lines = credit(rows, "random_credit", "--seed", str(seed))
        np.testing.assert_allclose(of_steps(lines), ndtri(uniforms(seed, "credit", counters)), **CLOSE)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_credits_a_complete_file(name, credit):
    rows = complete()
    lines = credit(rows, name)
    assert [line["trajectory"] for line in lines] == [row["id"] for row in rows]
    for line, row in zip(lines, rows, strict=True):
        lengths = [len(each["response_ids"]) for each in row["steps"]]
        assert [len(values) for values in line["advantages"]] == lengths
        if line["returns"] is not None:
            assert [len(values) for values in line["returns"]] == lengths
        assert line["algorithm"] == name
        assert line["diagnostics"] == lines[0]["diagnostics"]
    assert (lines[0]["returns"] is not None) == built(name, {}).has_critic


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_gets_by_with_what_it_asks_for(name, credit):
    """What it does not ask for may be missing, and changes nothing."""
    asked = {COLUMN_KEYS[column] for column in built(name, {}).columns - GIVEN_COLUMNS}
    kept = {*REQUIRED_STEP_KEYS, "valid", *asked}
    bare = [
        {**row, "steps": [{key: each[key] for key in each if key in kept} for each in row["steps"]]}
        for row in complete()
    ]
    assert credit(bare, name) == credit(complete(), name)


@dataclass(frozen=True, kw_only=True)
class Broken(GRPO):
    """Spreads what nobody gave it."""

    name = "broken"

    def credit(self, batch: Batch) -> Credit:
        return Credit(batch.entropy_T)


def test_credit_that_is_not_finite_is_the_algorithms_fault():
    records = read_trajectories([text([trajectory()]).encode()], "in.jsonl")
    with pytest.raises(RuntimeError, match=r"algorithm broken is not finite: .*advantages"):
        credited(records, [Broken()], seed=0)


def test_appo_trains_the_roots_only(credit):
    lines = credit(complete(), "appo")
    assert [line["trained"] for line in lines] == [True, True, True, False] * 2


@pytest.mark.parametrize("name", [n for n in ALGORITHMS if "uniform_S" not in built(n, {}).columns])
def test_order_of_lines_does_not_matter(name, credit):
    rows = complete()
    before = {line["trajectory"]: line["advantages"] for line in credit(rows, name)}
    after = {line["trajectory"]: line["advantages"] for line in credit(rows[::-1], name)}
    for row, advantages in before.items():
        np.testing.assert_allclose(np.concatenate(after[row]), np.concatenate(advantages), rtol=0, atol=1e-9)


def test_one_algorithm_more_changes_nothing(credit):
    together = credit(complete(), "grpo,steppo,g2po")
    alone = [line for name in ("grpo", "steppo", "g2po") for line in credit(complete(), name)]
    assert together == alone


def test_groups_are_compared_within_themselves(credit):
    rows = [trajectory("a", step(1)), trajectory("b", step(0)), trajectory("c", step(5), group="alone")]
    lines = credit(rows, "grpo")
    np.testing.assert_allclose(of_steps(lines), [0.5**0.5, -(0.5**0.5), 0], rtol=0, atol=1e-5)


def test_steps_without_a_state_share_none(credit):
    """What is not asked for may be there in part."""
    rows = [trajectory("a", step(1, state="s", logprobs=[-1])), trajectory("b", step())]
    assert len(credit(rows, "grpo,arpo")) == 4


def test_out_is_what_stdout_gets_and_gzip_goes_both_ways(tmp_path, capsys):
    plain, packed = tmp_path / "in.jsonl", tmp_path / "in.jsonl.gz"
    plain.write_text(text(complete()))
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    arguments = ["--algorithms", "steppo,g2po"]
    assert main([str(plain), *arguments]) == 0
    printed = capsys.readouterr().out
    assert main([str(packed), *arguments, "--out", str(tmp_path / "out.jsonl")]) == 0
    assert main([str(packed), *arguments, "--out", str(tmp_path / "one.gz")]) == 0
    assert main([str(plain), *arguments, "--out", str(tmp_path / "two.gz")]) == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "out.jsonl").read_text() == printed
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()).decode() == printed
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


def test_numbers_come_back_as_they_are(credit):
    """Advantages are printed so that reading gives the same float64."""
    third, tenth = 1 / 3, 0.1
    rows = [trajectory("t", step(third, values=[0]), step(tenth, values=[0]))]
    [line] = credit(rows, "steppo", "--set", "steppo.normalise_unit=none", "--set", "steppo.gamma=1")
    assert line["advantages"] == [[third + tenth], [tenth]]


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
    "other version": ({"version": 2}, ['"version" is 2', "reads version 1"]),
    "version true": ({"version": True}, ['"version" is true', "reads version 1"]),
    "no version": ({"version": ...}, ['"version" is missing', "reads version 1"]),
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
        ['the "parent" "frist" is no trajectory of the file'],
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
    "a negative id": ({"response_ids": [1, -1]}, ['"response_ids": number 1 is -1, which is no token id']),
    "a huge id": ({"response_ids": [2**63, 1]}, ["number 0 is 9223372036854775808, which is no token id"]),
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
    (["in.jsonl", "--algorithms", "g2po", "--set", "g2po.graph_weight=.nan"], ["graph_weight=nan", "finite"]),
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


def test_help_lists_the_algorithms_and_what_they_ask_for(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "usage: python -m harness.credit" in shown
    for name in ALGORITHMS:
        assert re.search(rf"^  {name} ", shown, re.MULTILINE)
    assert re.search(r"^  oracle +true_advantage$", shown, re.MULTILINE)


COMMAND = [sys.executable, "-m", "harness.credit"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_standard_input(tmp_path, credit):
    rows = complete()
    command = [*COMMAND, "-", "--algorithms", "grpo,steppo"]
    done = subprocess.run(
        command, input=text(rows), capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == credit(rows, "grpo,steppo")
    torn = subprocess.run(
        command,
        input=text(rows)[:-9],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=60,
    )
    assert torn.returncode == 2
    assert torn.stderr.startswith("error: stdin:8: not JSON")


def test_a_reader_that_stops_early_is_no_error(tmp_path):
    file = tmp_path / "in.jsonl"
    steps = [step(tokens=1000)] * 5
    file.write_text(text(trajectory(str(i), *steps) for i in range(20)))
    process = subprocess.Popen(
        [*COMMAND, str(file), "--algorithms", "grpo,arpo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith(b'{"algorithm": "grpo"')
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(60) == 0
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text(text([trajectory()]))
    with open("/dev/full", "w") as full:
        command = [*COMMAND, str(file), "--algorithms", "grpo"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=60
        )
    assert done.returncode == 2
    assert done.stderr == "error: standard output can't be written (No space left on device)\n"


def test_it_starts_fast_and_without_torch(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text(text(complete()))
    script = (
        "import sys, time\n"
        "from harness.credit import main\n"
        f"code = main([{str(file)!r}, '--algorithms', 'steppo,g2po'])\n"
        "heavy = [name for name in ('torch', 'transformers') if name in sys.modules]\n"
        "print(code, heavy, time.process_time(), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=60
    )
    code, heavy, seconds = done.stderr.split()
    assert (code, heavy) == ("0", "[]")
    # Processor time: a busy machine's clock says nothing.
    assert float(seconds) < 2


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


def test_the_documented_example_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example, output = blocks("json")
    [command] = blocks("sh")
    Path("trajectories.jsonl").write_text(example)
    python, module, name, *arguments = shlex.split(command)
    assert [python, module, name] == ["python", "-m", "harness.credit"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["algorithm"] for line in lines] == ["g2po"] * 3 + ["steppo"] * 3
    assert json.loads(lines[3]) == json.loads(output)
    assert set(json.loads(example.splitlines()[0])["steps"][0]) == {
        *(*REQUIRED_STEP_KEYS, *OPTIONAL_STEP_KEYS, INFO)
    }, "the example's first step shows every field"


def table(section: str) -> dict[str, str]:
    """The first and the last cell of a documented table."""
    part = DOCUMENT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): row[-1].strip() for row in cells}


def test_the_documented_fields_are_those_that_are_read():
    assert set(table("A trajectory")) == {*REQUIRED_KEYS, *BRANCH_KEYS, INFO}
    assert set(table("A step")) == {*REQUIRED_STEP_KEYS, *OPTIONAL_STEP_KEYS, INFO}
    assert {key for key, required in table("A trajectory").items() if required == "yes"} == {*REQUIRED_KEYS}
    assert {key for key, required in table("A step").items() if required == "yes"} == {*REQUIRED_STEP_KEYS}


def test_algorithms_ask_for_what_is_documented():
    for key, askers in table("A step").items():
        for name in askers.split(", "):
            if name in ALGORITHMS:
                assert key in {COLUMN_KEYS[c] for c in built(name, {}).columns - GIVEN_COLUMNS}, (key, name)
