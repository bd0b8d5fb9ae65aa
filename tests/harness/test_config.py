"""Composition: overrides work as Hydra users expect, and mistakes are one clear line."""

import subprocess
import sys
from dataclasses import fields, replace
from importlib.util import find_spec

import pytest
from omegaconf import OmegaConf

from harness.compose import compose_run, compose_sweep, composing
from harness.compose.composing import CONFIG_DIR, group_options
from harness.compose.help import RUN_USAGE, SWEEP_USAGE, field_docs, help_text, sections
from harness.compose.preset import main as preset_main
from harness.config import PretrainedModel, RolloutConfig, TinyModel
from harness.config.plain import run_config, to_plain
from harness.errors import UserError
from harness.run import main as run_main
from harness.store import cell_id
from harness.sweep import main as sweep_main


def test_a_sweep_is_algorithms_times_seeds():
    sweep, launcher, cells = compose_sweep(["+sweep=all_algos"])
    assert len(cells) == 42
    assert {cell.algorithm.name for cell in cells[:6]} == set(sweep.algorithms), "a seed at a time"
    assert len({cell_id(cell) for cell in cells}) == 42
    assert launcher.name == "local"


def test_an_arm_may_carry_options_of_its_own():
    arms = '["grpo","grpo rollouts=4 ratio_unit=step"]'
    _, _, cells = compose_sweep(["+sweep=smoke", f"sweep.algorithms={arms}", "algorithm.clip_high=0.3"])
    assert [(cell.algorithm.rollouts, cell.algorithm.ratio_unit.value) for cell in cells] == [
        (8, "token"),
        (4, "step"),
    ]
    assert {cell.algorithm.clip_high for cell in cells} == {0.3}
    assert len({cell_id(cell) for cell in cells}) == 2


def test_a_crossing_makes_every_legal_combination():
    """Token credit can't be whitened over steps: of 2 x 2 x 3 points, 2 fall out."""
    crossed = "{ratio_unit:[token,step],normalise_unit:[none,steps_of_batch,tokens_of_batch]}"
    arms = "sweep.algorithms=[steppo,steppo_token_credit]"
    _, _, cells = compose_sweep(["+sweep=smoke", arms, f"sweep.crossed={crossed}"])
    factors = [(c.algorithm.name, c.algorithm.ratio_unit, c.algorithm.normalise_unit) for c in cells]
    assert len(factors) == len(set(factors)) == 10
    with pytest.raises(UserError, match="every combination clashes"):
        compose_sweep(["+sweep=smoke", arms, "+sweep.crossed={normalise_unit:[edges_of_graph]}"])


@pytest.mark.parametrize("name", sorted({*group_options("sweep")} - {"all_algos_tuned"}))
def test_every_sweep_composes(name):
    _, _, cells = compose_sweep([f"+sweep={name}", "sweep.seeds=[0]"])
    assert len({cell_id(cell) for cell in cells}) == len(cells) > 0


def test_zoo_has_every_algorithm():
    sweep, _, _ = compose_sweep(["+sweep=zoo", "sweep.seeds=[0]"])
    assert sorted(sweep.algorithms) == group_options("algorithm")


def test_overrides():
    overrides = [
        "algorithm.clip_high=0.3",
        "sweep.seeds=[4,7]",
        "env.rooms=6",
        "budget.limit=5",
        "budget.axis=tokens",
    ]
    _, _, cells = compose_sweep(["+sweep=smoke", *overrides])
    assert {cell.seed for cell in cells} == {4, 7}
    assert {cell.algorithm.clip_high for cell in cells} == {0.3}
    assert {(cell.env.rooms, cell.budget.limit, cell.budget.axis.value) for cell in cells} == {
        (6, 5, "tokens")
    }


def test_an_option_of_one_algorithm_needs_only_its_own_sweep():
    _, _, cells = compose_sweep(["+sweep=smoke", "sweep.algorithms=[g2po]", "algorithm.graph_weight=0.5"])
    assert cells[0].algorithm.graph_weight == 0.5


def test_round_trip_and_identity():
    config = compose_run(["algorithm=appo", "seed=3"])
    assert run_config(to_plain(config)) == config
    assert cell_id(config) != cell_id(replace(config, seed=4))
    assert cell_id(config) == cell_id(run_config(to_plain(config)))


def test_one_arm_may_overlap_and_is_another_cell_then():
    """On any number of seeds and environments."""
    arms = ["+sweep=environments", "sweep.algorithms=[arpo]", "sweep.seeds=[0,1]"]
    off, on = (compose_sweep([*arms, f"rollout.overlap={overlap}"])[2] for overlap in (False, True))
    assert [replace(cell, rollout=RolloutConfig(overlap=True)) for cell in off] == on
    assert not {cell_id(cell) for cell in off} & {cell_id(cell) for cell in on}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "no sweep chosen: add +sweep=NAME, one of ablations, alfworld_tiny"),
        (["+sweep=all_algo"], "did you mean all_algos?"),
        (["tuned=newest"], "tuned is not an option"),
        (["+sweep=smoke", "sweep.algorithms=[grppo]"], "algorithm=grppo does not exist: did you mean grpo?"),
        (
            ["+sweep=smoke", "env=mars"],
            "textworld, textworld_express, vault",
        ),
        (
            ["+sweep=smoke", "algorithm.gama=0.9"],
            "algorithm.gama is not an option of PPO: did you mean gamma?",
        ),
        (["+sweep=smoke", "algorithm.graph_weight=2"], "algorithm.graph_weight is not an option of PPO"),
        (
            ["+sweep=smoke", "envy.rooms=2"],
            "envy is not an option: did you mean env?",
        ),
        (["+sweep=smoke", "algorithm.gamma=0.9"], "choose gamma=1, or credit_unit=step (arm grpo)"),
        (["+sweep=smoke", "algorithm.gamma=high"], "algorithm.gamma: Value 'high'"),
        (["+sweep=smoke", "sweep.seeds=[]"], "sweep.seeds is empty"),
        (["+sweep=smoke", "sweep.seeds=[1,1]"], "names one twice"),
        (["+sweep=smoke", "sweep.seeds=[-1]"], "seed=-1 must be"),
        (["+sweep=smoke", "sweep.algorithms=['grpo gama=1']"], "algorithm.gama is not an option"),
        (
            ["+sweep=smoke", "sweep.algorithms=['grpo gamma=0.5']"],
            "credit_unit=step (arm grpo gamma=0.5)",
        ),
        (
            ["+sweep=smoke", "+sweep.crossed={ratio_unit:[word]}"],
            "expected one of [token, step, step_sqrt, sequence] (arm ppo ratio_unit=word)",
        ),
        (["+sweep=smoke", "sweep.algorithms=[]"], "sweep.algorithms is empty"),
        (["+sweep=smoke", "budget.limit=0"], "budget.limit=0 must be above 0"),
        (
            ["+sweep=smoke", "budget.axis=euros"],
            "expected one of [flops, tokens, env_steps, trajectories, gpu_seconds]",
        ),
        (["+sweep=smoke", "batch.trajectories=12"], "must be at least 16: grpo samples 8 rollouts"),
        (["+sweep=smoke", "batch.minibatches=5"], "each of batch.minibatches=5 needs a task"),
        (["+sweep=smoke", "algorithm.credit_unit=trajectory"], "clashes with algorithm.baseline"),
        (["+sweep=smoke", "env.rooms=77"], "env.rooms=77 must be 2 to 9"),
        (["+sweep=smoke", "model.width=63"], "multiple of model.heads"),
        (["+sweep=smoke", "model=smollm2_135m", "model.width=64"], "not an option of PretrainedModel"),
        (["+sweep=smoke", "model.lora_rank=8"], "model.lora_rank is not an option of TinyModel"),
        (["+sweep=smoke", "model=pretrained"], "model.source: Missing mandatory value"),
        (["+sweep=smoke", "model=qwen2.5_1b"], "did you mean qwen2.5_"),
        (
            ["+sweep=smoke", "model=qwen3_4b", "model.answer=poem"],
            "expected one of [open, listed, numbered, tagged, react, tool_call]",
        ),
        (["+sweep=smoke", "engine=vlm"], "engine=vlm does not exist: did you mean vllm?"),
        (
            ["+sweep=controls", "model=qwen3_4b"],
            "env.slip=0, env.history=0, env.thought=0 and model=tiny",
        ),
        (
            ["+sweep=smoke", "sweep.algorithms=[grpo,ppo]", "rollout.overlap=true"],
            "rollout.overlap=true clashes with a sweep of 2 arms",
        ),
        (
            ["+sweep=smoke", "sweep.algorithms=['grpo','grpo rollout.overlap=true']"],
            "rollout.overlap=true clashes with a sweep of 2 arms",
        ),
        (["+sweep=tune", "sweep.algorithms=[grpo]", "rollout.overlap=true"], "clashes with a sweep of"),
        (
            ["+sweep=smoke", "sweep.algorithms=[grpo]", "rollout.overlap=true", "model.gpus=2"],
            "rollout.overlap=true clashes with model.gpus=2",
        ),
        *(
            (
                ["+sweep=smoke", f"sweep.algorithms=['{arm}']", "rollout.overlap=true"],
                f"clashes with algorithm={arm.split()[0]}, which asks about the policy of the moment",
            )
            for arm in ("appo", "appo gain=lagged", "appo_future", "oracle")
        ),
        (["+sweep=smoke", "what is this"], "what is this is not KEY=VALUE"),
    ],
)
def test_mistakes_are_one_line(overrides, words):
    with pytest.raises(UserError) as error:
        compose_sweep(overrides)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("target", ["algorithms.gone.Gone", "algorithms.ppo.Gone", "gone", "os.path.join"])
def test_a_class_that_is_not_there_is_one_line(target, capsys, caplog):
    """Logging would add lines on stderr."""
    assert sweep_main(["+sweep=smoke", f"algorithm._target_={target}"]) == 2
    assert preset_main([target]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(target in line for line in lines)
    assert caplog.records == []


def test_planning_imports_neither_torch_nor_transformers():
    code = (
        "import sys; from harness.compose import compose_sweep; import harness.sweep, harness.launch.local;"
        "compose_sweep(['+sweep=all_algos']);"
        "print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"


@pytest.mark.parametrize("name", group_options("env"))
def test_environment_yaml_is_the_dataclass_defaults(name):
    # A model that reads prose and names actions freely can play every environment.
    config = compose_run([f"env={name}", "model=smollm2_135m", "model.answer=open"])
    yaml = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "env" / f"{name}.yaml"))["env"]
    assert yaml == to_plain(replace(config, env=type(config.env)()))["env"]
    assert config.env.name == name


def test_a_plus_before_the_sweep_may_be_left_out():
    assert compose_sweep(["sweep=smoke"]) == compose_sweep(["+sweep=smoke"])


def test_tiny_yaml_is_the_dataclass_defaults():
    assert compose_run([]).model == TinyModel()


@pytest.mark.parametrize("name", sorted({*group_options("model")} - {"tiny"}))
def test_pretrained_yaml_is_the_dataclass_defaults(name):
    """But for what says which model it is."""
    model = compose_run([f"model={name}", *(["model.source=x"] if name == "pretrained" else [])]).model
    assert model == PretrainedModel(name=name, source=model.source, revision=model.revision)
    assert len({model.name, model.source}) == 2


@pytest.mark.parametrize("env", group_options("env"))
def test_sizes_for_tiny_do_not_reach_pretrained_models(env):
    """Neither an environment's nor a sweep's warm start and budget."""
    model = ["model=qwen3_4b", "model.answer=open", "sweep.algorithms=[grpo]"]
    for overrides in ([], ["+sweep=smoke"]):
        _, _, cells = compose_sweep([*(overrides or ["+sweep=all_algos"]), f"env={env}", *model])
        assert (cells[0].model.clone_updates, cells[0].budget.limit) == (0, 2e17)
    _, _, cells = compose_sweep(["+sweep=smoke", *model, f"env={env}", "budget.limit=7"])
    assert cells[0].budget.limit == 7


def test_a_sweep_may_have_sizes_for_a_model():
    _, _, cells = compose_sweep(["+sweep=smoke", "model=smollm2_135m"])
    assert (cells[0].batch.trajectories, cells[0].budget.axis.value) == (16, "trajectories")
    _, _, cells = compose_sweep(["+sweep=smoke"])
    assert (cells[0].model.clone_updates, cells[0].budget.limit) == (150, 5e10)


def test_every_option_is_described():
    config = compose_run([])
    for part in (config.algorithm, config.env, config.model, config.batch, config.budget, config.evaluation):
        docs = field_docs(type(part))
        assert {name for name in part.__dataclass_fields__ if not docs.get(name)} == set()
    text = help_text(SWEEP_USAGE, ["--help-all"])
    for word in ("all_algos", "steppo", "textworld", "algorithm.gamma=0.95", "env.rooms=", "budget.limit"):
        assert word in text


def test_help_is_a_page_that_names_every_shared_option():
    text = help_text(SWEEP_USAGE, ["--help"])
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) <= 110
    for name, (prefix, cls) in sections().items():
        if prefix not in ("algorithm", "env"):
            lines = text.replace("\n    ", " ").splitlines()
            [line] = [line for line in lines if line.startswith(f"{name}: ")]
            assert {*line.partition(": ")[2].split(", ")} == {field.name for field in fields(cls)}


def test_help_describes_a_section():
    text = help_text(RUN_USAGE, ["--help", "budget", "algorithm=ppo"])
    assert "budget.limit" in text
    assert "algorithm.gamma=" in text
    assert "batch.trajectories" not in text
    with pytest.raises(UserError, match="did you mean budget"):
        help_text(RUN_USAGE, ["-h", "budgt"])


@pytest.mark.skipif(bool(find_spec("vllm")), reason="vllm is installed")
def test_a_missing_engine_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_main(["engine=vllm", "model.heads=2"]) == 2
    assert "vllm isn't installed: pip install 'creditbench[vllm]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    arguments = ["+sweep=smoke", "engine=vllm", "model.heads=2", f"sweep.out={tmp_path / 'sweep'}"]
    assert sweep_main(arguments) == 2
    assert "vllm isn't installed: pip install 'creditbench[vllm]'" in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_files_that_are_composed_once_are_what_hydra_composes_each_time(monkeypatch):
    """Values of every kind: of an arm, of an environment's entry, of the command line, left out of a file."""
    asked = [
        "+sweep=smoke",
        "sweep.algorithms=[grpo,'grpo rollouts=4 model.lr=0.002','steppo clip_low=0.1']",
        "sweep.envs=['vault budget.limit=6e10','vault thought=2 budget.limit=7e10']",
        "model.width=32",
        "evaluation.points=2",
        "sweep.sesoi=0.1",
    ]
    once = compose_sweep(asked)
    monkeypatch.setattr(composing, "with_values", lambda parsed: None)
    assert compose_sweep(asked) == once
