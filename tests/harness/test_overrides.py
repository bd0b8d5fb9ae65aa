"""A run's command composes to the very same configuration."""

import shlex

import pytest

from harness.compose import compose_run
from harness.compose.overrides import overrides_of
from harness.config.plain import to_plain
from harness.run import main
from harness.store import cell_id, read_json
from reports.compare import command_of
from tests.harness.policy.folders import save_model
from tests.harness.policy.test_pretrained import SMALL


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["algorithm=appo", "algorithm.half_life=8", "env=household", "env.kinds=[put]", "seed=3"],
        ["algorithm=g2po", "algorithm.edge_term=false", "model.lr=0.00025", "budget.axis=tokens"],
        ["algorithm=ppo", "budget.limit=5e10", "batch.minibatches=2", "model.schedule=cosine"],
    ],
)
def test_a_command_gives_its_run_again(overrides):
    config = compose_run(overrides)
    assert compose_run(overrides_of(config)) == config


def test_only_what_differs_is_named():
    assert overrides_of(compose_run(["algorithm=ppo", "algorithm.gamma=0.5", "seed=7"])) == [
        "algorithm=ppo",
        "env=vault",
        "model=tiny",
        "algorithm.gamma=0.5",
        "seed=7",
    ]


def test_the_command_that_a_report_prints_runs_a_pretrained_models_cell(tmp_path, monkeypatch, capsys):
    folder = save_model(tmp_path / "a model, 50% = half", "qwen2", tie_word_embeddings=True)
    config = compose_run([*SMALL, "algorithm=grpo", "algorithm.rollouts=2", f"model.source='{folder}'"])
    python, _, module, *overrides = shlex.split(f"{command_of(to_plain(config))} seed=0")
    assert (python, module) == ("python", "harness.run")
    monkeypatch.chdir(tmp_path)
    assert main(overrides) == 0, capsys.readouterr().err
    [run] = (tmp_path / "runs" / "single" / "runs").iterdir()
    assert (run.name, read_json(run / "config.json")) == (cell_id(config), to_plain(config))
