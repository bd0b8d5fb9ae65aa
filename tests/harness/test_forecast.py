"""A plan without weights, data or a device: what is missing is said, and the cost is predicted."""

from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness import sweep as command
from harness.compose import compose_run, compose_sweep
from harness.compose.composing import group_options
from harness.config.model import PretrainedModel
from harness.planning.disk import all_parameters
from harness.planning.plan import plan
from harness.planning.predict import architecture, forms, measurable
from harness.policy.shapes import SHAPES, published_parameters, published_shape
from harness.policy.source import Missing
from tests.harness.test_paper_sweeps import ARMS


@pytest.fixture(autouse=True)
def nothing_is_here(tmp_path, monkeypatch):
    """No weights, no games, no products."""
    for name in ("ALFWORLD_DATA", "WEBSHOP_DATA", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))


@pytest.mark.parametrize("name", ["paper_g2po_alfworld"])
def test_a_plan_needs_neither_weights_nor_data_nor_a_device(name, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = [f"+sweep={name}", f"sweep.out={out}", "launcher.workers=1"]
    assert command.main([*arguments, "launcher.flops_per_second=4e14", "--dry-run"]) == 0
    text = capsys.readouterr().out
    for words in (
        "at 4e+14 FLOP/s assumed",
        "core hours",
        f"{len(ARMS[name]) * 3} cells: about",
        "if every episode is as long as it may be:",
        "tokens",
        "To run this here:",
        "python -m harness.models fetch qwen",
        "Prompts count with",
    ):
        assert words in text
    assert max(map(len, text.partition("To run this here:")[0].splitlines()[2:])) <= 110
    assert not out.exists()
    assert command.main(arguments) == 2, "to run it is another matter"
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert error.startswith("error: ")


def test_hours_follow_the_rate():
    """Twice the FLOP/s, half the hours: the prediction is FLOPs over the rate."""

    def seconds(rate: str) -> float:
        made = plan(*compose_sweep(["+sweep=paper_g2po_webshop", f"launcher.flops_per_second={rate}"]))
        return made.arms[0].seconds

    assert seconds("1e14") == pytest.approx(2 * seconds("2e14"))


@pytest.mark.parametrize("source", SHAPES)
def test_shapes_are_those_of_the_architectures(source):
    """transformers builds each model from its shape, without memory for its weights."""
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(AutoConfig.for_model(**SHAPES[source]))
    assert published_parameters(SimpleNamespace(source=source)) == built.num_parameters()


def test_every_hub_model_that_ships_has_a_shape():
    for name in group_options("model"):
        if name.startswith("qwen"):
            assert compose_run([f"model={name}"]).model.source in SHAPES


def test_a_missing_models_shape_is_the_published_one():
    config = compose_run(["model=qwen3_4b_instruct_2507", "env=household"])
    assert isinstance(config.model, PretrainedModel)
    assert not measurable(config.model, config.env)
    assert architecture(config.model, config.env).num_hidden_layers == 36
    assert all_parameters(config.model) == 4_022_468_096
    # All but the embedding's lookup, biases and norms multiply; the tied head does too.
    assert forms(config).matmul_params == pytest.approx(4_022_468_096, rel=1e-3)
    unknown = compose_run(["model=pretrained", "model.name=mine", "model.source=some/one", "env=household"])
    assert published_shape(unknown.model) is None
    with pytest.raises(Missing, match="some/one is not a folder and not in the hub's cache"):
        architecture(unknown.model, unknown.env)
