"""A run's command composes to the very same configuration."""

import pytest

from harness.compose import compose_run
from harness.compose.overrides import overrides_of


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
