"""What a plan predicts, against what runs spend and against the real model."""

import json
from itertools import pairwise

import pytest

from harness.compose import compose_run
from harness.errors import UserError
from harness.planning.predict import check_budget, forms, predict, prompt_tokens
from harness.policy.model import Critic, closed_forms, new_policy
from harness.policy.text import Prompts
from harness.run import Run
from harness.store import RunDir

SMALL = ["batch.trajectories=32", "batch.minibatches=2", "model.clone_updates=20", "env.horizon=6",
         "env.train_tasks=2", "env.eval_tasks=1", "evaluation.points=1", "evaluation.window=1",
         "evaluation.episodes=1", "budget.limit=3e9"]  # fmt: skip


@pytest.mark.parametrize("env", ["vault", "household"])
def test_closed_forms_are_those_of_the_model_that_will_run(env):
    config = compose_run([f"env={env}"])
    policy = new_policy(config.model, config.env, Prompts(config.env).vocabulary_size, seed=0)
    assert forms(config) == closed_forms(policy, policy.config)
    assert forms(config, outputs=1) == closed_forms(Critic(policy), policy.config)


@pytest.mark.parametrize("env", ["vault", "household"])
def test_prompts_are_counted_in_the_tokenizers_words(env):
    config = compose_run([f"env={env}"])
    task = config.env.training_panel()[0]
    observation, _ = config.env.make().reset(task)
    assert prompt_tokens(config.env) == len(Prompts(config.env).prompt(task.goal, (), observation))


@pytest.mark.parametrize("name", ["ppo", "grpo", "rloo", "appo", "arpo", "tree_grpo"])
def test_no_iteration_spends_more_than_predicted(name, tmp_path):
    config = compose_run([f"algorithm={name}", *SMALL])
    run_dir = RunDir.create(tmp_path, config)
    Run(config, run_dir, tmp_path).finish()
    rows = [row for row in map(json.loads, run_dir.metrics.open()) if row["kind"] == "train"]
    most = predict(config)
    for axis in ("flops", "tokens", "env_steps"):
        spent = [0, *(row[axis] for row in rows)]
        largest = max(after - before for before, after in pairwise(spent))
        # Observations differ by a word or two from the first one, which the prediction counts with.
        assert largest <= 1.1 * getattr(most, axis)
    assert largest > 0.1 * most.env_steps, "and the prediction is of the right size"


@pytest.mark.parametrize(("axis", "limit"), [("flops", 1e6), ("tokens", 500), ("env_steps", 100)])
def test_budgets_below_one_iteration_are_refused(axis, limit):
    config = compose_run([*SMALL, f"budget.axis={axis}", f"budget.limit={limit}"])
    with pytest.raises(UserError, match="less than one iteration of grpo") as error:
        check_budget(config)
    assert f"budget.limit={limit:g} {axis}" in str(error.value)
    check_budget(compose_run([*SMALL, "budget.axis=env_steps", "budget.limit=193"]))
