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
from algorithms.shared.checked import CreditError
from harness.compose.composing import group_options
from harness.compose.help import field_docs
from harness.credit import built, credited, main
from harness.records import StopReason
from harness.records.batch import COLUMNS, Batch
from harness.records.columns import per_token
from harness.records.files import (
    BRANCH_KEYS,
    COLUMN_KEYS,
    GIVEN_COLUMNS,
    OPTIONAL_STEP_KEYS,
    OUTCOME_KEYS,
    REQUIRED_KEYS,
    REQUIRED_STEP_KEYS,
    STEP_KEYS_OF_2,
    TEXT_KEYS,
    read_trajectories,
)
from harness.records.values import INFO
from harness.rng import uniforms
from tests.harness.recorded import complete, step, text, trajectory

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
DOCUMENT = (ROOT / "docs" / "trajectory-format.md").read_text()
CLOSE = {"rtol": 0, "atol": 1e-6}
ALGORITHMS = group_options("algorithm")


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


def test_an_older_version_says_less_and_means_the_same():
    def read(line):
        return read_trajectories([text([line]).encode()], "in.jsonl")[0]

    steps = (step(), step(1))
    for version in (1, 2):
        old = read(trajectory("t", *steps, version=version))
        assert (old.score, old.stop, old.metrics) == (1.0, None, {})
        assert all(each.well_formed for each in old.steps)
    said = {"score": 0.25, "stop": "crash", "metrics": {"f1": 0.5}}
    new = read(trajectory("t", step(well_formed=False), step(1), **said))
    assert (new.score, new.stop, new.metrics) == (0.25, StopReason.crash, {"f1": 0.5})
    assert [each.well_formed for each in new.steps] == [False, True]


def test_credit_that_is_not_finite_is_the_algorithms_fault():
    records = read_trajectories([text([trajectory()]).encode()], "in.jsonl")
    with pytest.raises(CreditError, match=r"algorithm broken is not finite: advantage_T"):
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
        command, input=text(rows), capture_output=True, text=True, cwd=tmp_path, env=ENVIRONMENT, timeout=300
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
        timeout=300,
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
    assert process.wait(300) == 0
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(tmp_path):
    file = tmp_path / "in.jsonl"
    file.write_text(text([trajectory()]))
    with open("/dev/full", "w") as full:
        command = [*COMMAND, str(file), "--algorithms", "grpo"]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, timeout=300
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
        [sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, timeout=300
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
        *(*REQUIRED_STEP_KEYS, *OPTIONAL_STEP_KEYS, *STEP_KEYS_OF_2, INFO)
    }, "the example's first step shows every field"


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if not page.name.startswith("adding-")]
"""Pages that add something run their commands in tests of their own."""


def documented() -> list[tuple[str, ...]]:
    """The words after `python -m harness.credit` in every line of a page that begins so."""
    lines = (line for page in PAGES for line in page.read_text().replace("\\\n", " ").splitlines())
    found = [
        shlex.split(line, comments=True) for line in lines if line.startswith("python -m harness.credit ")
    ]
    return [tuple(words[3:]) for words in found]


def test_every_page_of_an_algorithm_shows_its_credit():
    assert len(documented()) >= len(list((ROOT / "docs" / "algorithms").glob("*.md"))) - 1


@pytest.mark.parametrize("arguments", dict.fromkeys(documented()), ids=" ".join)
def test_documented_commands_run_on_the_documented_example(arguments, tmp_path, capsys, monkeypatch):
    """A path that names another file than the example's stands for any file of the format."""
    monkeypatch.chdir(tmp_path)
    Path("trajectories.jsonl").write_text(blocks("json")[0])
    assert main(["trajectories.jsonl", *arguments[1:]]) == 0, capsys.readouterr().err


def test_a_byte_order_mark_is_skipped(tmp_path, capsys):
    marked = tmp_path / "marked.jsonl"
    marked.write_text(text(complete()), encoding="utf-8-sig")
    assert marked.read_bytes().startswith(b"\xef\xbb\xbf")
    assert main([str(marked), "--algorithms", "grpo"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(complete())


def table(section: str) -> dict[str, str]:
    """The first and the last cell of a documented table."""
    part = DOCUMENT.split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): row[-1].strip() for row in cells}


def test_the_documented_fields_are_those_that_are_read():
    assert set(table("A trajectory")) == {*REQUIRED_KEYS, *TEXT_KEYS, *BRANCH_KEYS, *OUTCOME_KEYS, INFO}
    assert set(table("A step")) == {*REQUIRED_STEP_KEYS, *OPTIONAL_STEP_KEYS, *STEP_KEYS_OF_2, INFO}
    assert {key for key, required in table("A trajectory").items() if required == "yes"} == {*REQUIRED_KEYS}
    assert {key for key, required in table("A step").items() if required == "yes"} == {*REQUIRED_STEP_KEYS}


def test_columns_are_documented_as_the_table_has_them():
    """Their types, and the words that the batch has for them."""
    rows = DOCUMENT.split("\n## A step\n")[1].split("\n## ")[0].splitlines()
    cells = {row.split("`")[1]: row.strip("|").split("|") for row in rows if row.startswith("| `")}
    docs = field_docs(Batch)
    for name, key in COLUMN_KEYS.items():
        _, kind, meaning, _ = map(str.strip, cells[key])
        if COLUMNS[name].text:
            assert kind == "string"
            continue
        assert kind == ("list of L numbers" if per_token(name) else "number")
        assert " ".join(docs[name].split()).rstrip(".").lower() in meaning.lower(), name


def test_algorithms_ask_for_what_is_documented():
    for key, askers in table("A step").items():
        for name in askers.split(", "):
            if name in ALGORITHMS:
                assert key in {COLUMN_KEYS[c] for c in built(name, {}).columns - GIVEN_COLUMNS}, (key, name)
