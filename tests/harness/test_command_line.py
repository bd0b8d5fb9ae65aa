"""The command line as it is mistyped: what nothing reads, what can't be read, and what is out of range."""

import math
import re
import shlex
from dataclasses import fields
from itertools import cycle
from typing import get_type_hints

import pytest

from harness.compose import compose_run, compose_sweep
from harness.compose.composing import CONFIG_DIR, SECTIONS, parse_one
from harness.compose.help import sections
from harness.compose.overrides import overrides_of
from harness.config import PretrainedModel, SweepConfig
from harness.config.plain import typed
from harness.config.sweep import Knob
from harness.doctor import main as doctor
from harness.errors import UserError
from harness.models import main as models
from harness.planning.checks import check_parts
from harness.run import main as run
from harness.sweep import main as sweep

SMOKE = "+sweep=smoke"
ONE = "sweep.algorithms=[grpo]"


def refusal(compose, *overrides: str) -> str:
    """The one line that says what is wrong with these overrides."""
    with pytest.raises(UserError) as error:
        compose(overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("+algoritm.gamma=1", "algoritm is not an option: did you mean algorithm?"),
        ("algoritm.gamma=1", "algoritm is not an option: did you mean algorithm?"),
        ("++evaluatoin.points=1", "evaluatoin is not an option: did you mean evaluation?"),
        ("+foo=3", "foo is not an option; there are algorithm, env"),
        ("hydra.verbose=true", "hydra.verbose=true has no effect"),
        ("~evaluation", "~evaluation takes away what everything has"),
        ("evaluation=null", "evaluation=None is not a table of options: set evaluation.OPTION=VALUE"),
        ("batch=3", "batch=3 is not a table of options"),
    ],
)
@pytest.mark.parametrize("start", [[], [SMOKE]], ids=["run", "sweep"])
def test_a_key_that_nothing_reads_is_refused(start, override, words):
    assert words in refusal(compose_sweep if start else compose_run, *start, override)


@pytest.mark.parametrize("section", SECTIONS)
def test_no_section_can_be_misspelt(section):
    misspelt = section[:-1] + section[-1] * 2
    assert f"did you mean {section}?" in refusal(compose_run, f"+{misspelt}.x=1")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=3", "seed=3 has no effect: a sweep has sweep.seeds="),
        ("++seed=3", "has no effect: a sweep has sweep.seeds="),
        ("algorithm=ppo", "algorithm=ppo has no effect: a sweep has sweep.algorithms="),
        ("sweep.effect=0.2", "sweep.effect=0.2 is read with sweep.seeds=auto alone"),
        ("sweep.factor_arms=[grpo]", "is read with sweep.factors alone"),
        ("~sweep", "takes away"),
        ("sweep=null", "sweep=null chooses nothing"),
    ],
)
def test_an_override_without_effect_in_a_sweep_is_refused(override, words):
    assert words in refusal(compose_sweep, SMOKE, override)


@pytest.mark.parametrize(
    "override",
    [
        *("sweep.seeds=[1]", "sweep.sesoi=0.1", "launcher=slurm", "launcher.workers=2", "tracker=wandb"),
        *("wait=true", "cancel=true", "hydra/launcher=basic"),
    ],
)
def test_an_override_without_effect_in_a_run_is_refused(override, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run([override]) == 2
    assert capsys.readouterr().err.startswith(f"error: {override} has no effect")
    assert list(tmp_path.iterdir()) == []


def test_other_commands_refuse_what_they_do_not_read(capsys):
    assert models(["fetch", "smollm2_135m", "env=household"]) == 2
    assert "env=household has no effect" in capsys.readouterr().err
    assert doctor([SMOKE, "seed=3"]) == 2
    assert "seed=3 has no effect" in capsys.readouterr().err
    assert doctor(["--dry-run"]) == 2
    assert "--dry-run is not a flag" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("evaluatoin:\n  points: 3\n", "evaluatoin is not an option: did you mean evaluation?"),
        ("seed: 3\n", "seed=3 has no effect"),
        ("sweep:\n  sedes: [0]\n", "sweep.sedes is not an option: did you mean seeds?"),
        ("budget: [1, 2\n", "mine.yaml"),
        ("budget:\n\tlimit: 3\n", "mine.yaml"),
    ],
)
def test_a_sweeps_file_is_read_as_strictly(content, words, tmp_path):
    (tmp_path / "sweep").mkdir()
    smoke = (CONFIG_DIR / "sweep" / "smoke.yaml").read_text()
    if content.startswith("sweep:"):
        content = content.replace("sweep:\n", "")
        smoke = smoke.replace("sweep:\n", "sweep:\n" + content)
        content = ""
    (tmp_path / "sweep" / "mine.yaml").write_text(smoke + "\n" + content)
    assert words in refusal(compose_sweep, "+sweep=mine", f"hydra.searchpath=[file://{tmp_path}]")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sweep.out=~/x", "write sweep.out=$HOME/x"),
        ("sweep.algorithms=[grpo rollouts=64, ppo]", "write \"sweep.algorithms=['grpo rollouts=64',ppo]\""),
        ("sweep.out=a(b", "write \"sweep.out='a(b'\""),
        ("sweep.algorithms=[grpo", "quotes"),
        ("sweep.algorithms=grpo", "sweep.algorithms=grpo must be a list, e.g. sweep.algorithms=[grpo]"),
        ("sweep.crossed=3", "sweep.crossed=3 must be a table"),
        ("sweep.seeds=0,1", 'write "sweep.seeds=[0,1]"'),
        ("env=vault,household", "choose one env"),
        ("what is this", "what is this is not KEY=VALUE"),
    ],
)
def test_what_hydra_can_not_read_comes_with_the_right_quoting(override, words):
    said = refusal(compose_sweep, SMOKE, override)
    assert words in said
    assert "hydra.cc" not in said
    if '"' in words:
        [mended] = shlex.split(words.removeprefix("write "))
        parse_one(mended)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sesoi", "0.02"),
        ("append", "true"),
        ("factors", "[ratio_unit]"),
        ("crossed", "{ratio_unit:[token,step]}"),
        ("contrasts", "{mine:{left:[grpo],right:[ppo]}}"),
        ("envs", "[vault]"),
        ("name", "mine"),
        ("out", "here"),
    ],
)
@pytest.mark.parametrize("plus", ["", "+"])
def test_a_sweeps_options_need_no_plus(plus, name, value):
    read, _, _ = compose_sweep([SMOKE, "sweep.algorithms=[grpo,ppo]", f"{plus}sweep.{name}={value}"])
    assert getattr(read, name) not in (getattr(SweepConfig, name, None), (), {})


def test_a_tuning_needs_no_plus():
    space = "{model.lr:{low:1e-4,high:1e-3}}"
    read, _, cells = compose_sweep([SMOKE, ONE, "sweep.trials=2", f"sweep.space={space}", "env.tasks=tuning"])
    assert (read.trials, len(cells)) == (2, 3)


def test_sbatch_options_need_no_plus():
    _, launcher, _ = compose_sweep([SMOKE, "launcher=slurm", "launcher.sbatch={export: NONE}"])
    assert launcher.sbatch == {"export": "NONE"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("sweep.out=", "sweep.out is empty"),
        ('sweep.out=""', "sweep.out is empty"),
        ("sweep.out=' '", "sweep.out is empty"),
        ("sweep.out=s3://bucket/x", "is an address"),
        ("sweep.out='~/x'", "a ~ that no shell has replaced"),
        ("sweep.out=" + "a" * 400, "too long"),
        ('sweep.out="a\nb"', "can't be printed"),
        ("sweep.name=", "becomes part of a file's name"),
        ("sweep.name=../../x", "becomes part of a file's name"),
        ("sweep.name=" + "a" * 400, "at most 80"),
        ("model.name=../x", "becomes part of a file's name"),
        ("model.name=" + "a" * 400, "at most 80"),
    ],
)
def test_names_that_no_file_should_have_are_refused(override, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert sweep([SMOKE, override]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert len(said) < 300
    assert list(tmp_path.iterdir()) == []


NUMBERS = [
    *("model.lr", "model.grad_clip", "budget.limit", "rollout.timeout", "env.slip", "algorithm.gamma"),
    *("launcher.flops_per_second", "launcher.checkpoint_seconds", "sweep.sesoi"),
]


@pytest.mark.parametrize(("option", "value"), [*zip(NUMBERS, cycle(["inf", "nan", "-inf"]), strict=False)])
def test_numbers_are_finite(option, value):
    said = refusal(compose_sweep, SMOKE, ONE, f"{option}={value}")
    assert said.startswith(f"{option}={value} must be a finite number")


def every_number() -> list[tuple[type, str]]:
    """Every option of ours that is a number with a fraction."""
    classes = dict.fromkeys([*(cls for _, cls in sections().values()), Knob])
    return [(cls, f.name) for cls in classes for f in fields(cls) if get_type_hints(cls)[f.name] is float]


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_every_number_of_every_dataclass_is_finite(value):
    found = every_number()
    assert len(found) > 100
    for cls, name in found:
        with pytest.raises(UserError, match=rf"^part\.{name}={value} must be a finite number$"):
            typed(cls, {name: value}, "part")


def test_an_engine_that_can_not_run_the_model_is_one_line():
    for overrides, words in (
        (["engine=vllm"], "heads of 16 numbers, model.width=64 / model.heads=4: 32"),
        (["engine=vllm", "model.heads=2", "model.gpus=2"], "generates on one device"),
    ):
        _, _, cells = compose_sweep([SMOKE, *overrides])
        with pytest.raises(UserError, match=re.escape(words)):
            check_parts(cells)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=pretrained", "model.source=some/folder"],
        ["model=pretrained", "model.name=mine", "model.source='/a b/c=d,e'", "algorithm=ppo"],
        ["model=smollm2_135m", "model.lora_rank=8", "model.lora_targets=[q_proj]"],
        ["model=pretrained", 'model.source="it\'s"', "model.revision='true'"],
        ["model=pretrained", "model.source='x\\\\'", "seed=4"],
    ],
)
def test_the_command_of_a_pretrained_models_run_gives_it_again(overrides):
    config = compose_run(overrides)
    assert isinstance(config.model, PretrainedModel)
    command = shlex.join(overrides_of(config))
    assert compose_run(shlex.split(command)) == config
