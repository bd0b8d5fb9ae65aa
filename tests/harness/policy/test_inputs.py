"""What a run reads is known by its content: changed files are refused, by a sweep before it starts too."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import harness.policy.source as source
from envs.textworld import TextWorldSpec
from harness.compose import compose_run
from harness.config import RunConfig
from harness.errors import UserError
from harness.planning.checks import check_inputs
from harness.policy.inputs import inputs_of
from harness.run import Run, Stopped
from harness.store import RunDir
from tests.harness.policy.folders import save_model
from tests.harness.policy.test_pretrained import ADAPTED, GRPO, SMALL


@pytest.fixture
def folder(tmp_path) -> Path:
    return save_model(tmp_path / "model", "llama")


def config(folder: Path, *overrides: str) -> RunConfig:
    return compose_run([*SMALL, *GRPO, *ADAPTED, f"model.source={folder}", *overrides])


def begin(cell: RunConfig, out: Path) -> RunDir:
    """A run that is stopped after a checkpoint."""
    run_dir = RunDir.create(out, cell)
    with pytest.raises(Stopped):
        Run(cell, run_dir, out).finish(stopping=lambda: True)
    assert run_dir.complete_checkpoints()
    return run_dir


def other_weights(folder: Path) -> None:
    """Another model of the same shape."""
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)


def other_template(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text() + " ")


def other_tokenizer(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize("change", [other_weights, other_template, other_tokenizer])
def test_a_model_that_changed_is_refused(change, folder, tmp_path):
    cell = config(folder)
    run_dir = begin(cell, tmp_path)
    change(folder)
    line = rf"the files of model\.source={folder} have changed since {run_dir.path.name} read them: bring "
    with pytest.raises(UserError, match=line):
        Run(cell, run_dir, tmp_path)
    with pytest.raises(UserError, match=line):
        check_inputs(tmp_path, [cell])


def test_the_same_content_elsewhere_in_time_goes_on(folder, tmp_path):
    cell = config(folder)
    run_dir = begin(cell, tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, copy_function=shutil.copyfile)
    shutil.rmtree(folder)
    copy.rename(folder)
    check_inputs(tmp_path, [cell])
    Run(cell, run_dir, tmp_path).finish()
    other_weights(folder)
    with pytest.raises(UserError, match="have changed since"):
        check_inputs(tmp_path, [cell])  # a finished cell is not to be compared with others of another model


def test_what_has_made_nothing_yet_begins_anew(folder, tmp_path):
    cell = config(folder)
    run_dir = RunDir.create(tmp_path, cell)
    Run(cell, run_dir, tmp_path)
    other_weights(folder)
    Run(cell, run_dir, tmp_path)
    assert run_dir.changed_inputs(inputs_of(cell.model, cell.env)) == []


def test_a_warm_start_belongs_to_the_models_content(folder, tmp_path):
    cell = config(folder, "model.clone_updates=1", "model.clone_steps=8")
    for made in (1, 2):
        Run(cell, RunDir.create(tmp_path, cell), tmp_path)
        assert len(list(tmp_path.glob("warmstarts/*"))) == made
        other_weights(folder)


def test_a_file_is_read_once_a_process(folder, monkeypatch):
    read, real = [], source.file_hash
    monkeypatch.setattr(source, "file_hash", lambda path: read.append(path) or real(path))
    cell = config(folder)
    first = inputs_of(cell.model, cell.env)
    assert len(read) == len(source.model_files(folder)) > 3
    assert inputs_of(cell.model, cell.env) == first
    assert len(read) == len(source.model_files(folder))
    other_template(folder)
    assert inputs_of(cell.model, cell.env) != first


def test_games_are_known_by_their_content(tmp_path, monkeypatch):
    pytest.importorskip("textworld")
    monkeypatch.setenv("CREDITBENCH_CACHE", str(tmp_path))
    env, model = TextWorldSpec(train_tasks=1, eval_tasks=1), compose_run(["model=tiny"]).model
    before = inputs_of(model, env)
    assert [*before] == ["env=textworld"]
    (story,) = (tmp_path / "textworld").glob("*.z8")
    story.write_bytes(story.read_bytes() + b"\0")
    assert inputs_of(model, env) != before


@pytest.fixture
def broken(folder):
    def broken(name: str, content: bytes) -> RunConfig:
        (folder / name).write_bytes(content)
        return config(folder)

    yield broken
    source.check_legible.cache_clear()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"\0" * 100),
        ("config.json", b'{"model_type": "llama"'),
        ("config.json", b'{"model_type": "no such model"}'),
        ("tokenizer.json", b'{"version": "1.0"}'),
        ("tokenizer_config.json", b"[]"),
    ],
)
def test_broken_files_are_one_line(name, content, broken, folder):
    model = broken(name, content).model
    with pytest.raises(
        UserError, match=rf"model=pretrained: {folder} can't be read \(.*replace its"
    ) as caught:
        source.check(model)
    assert "\n" not in str(caught.value)


def test_truncated_weights_are_one_line(broken, folder):
    cell = broken("model.safetensors", (folder / "model.safetensors").read_bytes()[:-8])
    for use in (lambda: source.check(cell.model), lambda: Run(cell, RunDir.create(folder, cell), folder)):
        with pytest.raises(UserError, match=r"can't be read \(SafetensorError: .*replace its files"):
            use()


@pytest.mark.slow
@pytest.mark.parametrize("command", ["harness.sweep", "harness.doctor"])
def test_commands_say_so_before_anything_starts(command, folder, tmp_path):
    (folder / "config.json").write_text("{")
    overrides = [*SMALL, f"model.source={folder}", f"sweep.out={tmp_path / 'out'}"]
    overrides.append("sweep.algorithms=['grpo rollouts=4']")
    done = subprocess.run(
        [sys.executable, "-m", command, "+sweep=smoke", *overrides],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: model=pretrained: {folder} can't be read (")
    assert not (tmp_path / "out").exists()


def test_positions_that_a_model_has_not_are_refused(tmp_path):
    for architecture, field in (("qwen2", "max_position_embeddings"), ("gpt2", "n_positions")):
        folder = save_model(tmp_path / architecture, "qwen2")
        if architecture == "gpt2":
            AutoModelForCausalLM.from_config(
                AutoConfig.for_model("gpt2", n_embd=8, n_head=2)
            ).save_pretrained(folder)
        positions = getattr(AutoConfig.from_pretrained(folder), field)
        fits = config(folder, f"model.max_prompt_tokens={positions - 4}").model
        source.check(fits)
        model = config(folder, f"model.max_prompt_tokens={positions - 3}").model
        with pytest.raises(
            UserError,
            match=rf"more than the {positions} positions .* set model.max_prompt_tokens={positions - 4} or",
        ):
            source.check(model)
