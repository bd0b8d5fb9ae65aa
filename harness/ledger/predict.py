"""What an iteration costs at most, from the configuration alone: for plans, and to refuse budgets below it.

Every episode runs to the horizon, every response has its longest length, every rollout is trained; prompts
are as long as the first one of the first task. Loads neither torch nor transformers.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np

from envs.base import EnvironmentSpec, normalise
from harness.config.schema import BudgetAxis, RunConfig
from harness.errors import UserError
from harness.ledger.flops import TransformerFlops
from harness.policy.specials import SPECIALS

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


@dataclass(frozen=True)
class Iteration:
    """The most that one iteration spends."""

    flops: int
    tokens: int
    """Tokens sampled."""
    env_steps: int
    trajectories: int

    def on(self, axis: BudgetAxis) -> int:
        """The amount on a budget axis; 0 on gpu_seconds, which nothing here can know."""
        return 0 if axis is BudgetAxis.gpu_seconds else int(getattr(self, axis.value))


def predict(config: RunConfig) -> Iteration:
    """The most that one iteration of a run spends."""
    algorithm, plan = config.algorithm, config.algorithm.plan()
    policy, critic = forms(config), forms(config, outputs=1)
    prompt, response = prompt_tokens(config.env), config.env.max_action_tokens
    trajectories = config.tasks_per_iteration * plan.trajectories
    rows = trajectories * config.env.horizon
    whole = [prompt + response]
    row = policy.forward([prompt]) + policy.decode(prompt + 1 + np.arange(response - 1)) + policy.train(whole)
    if algorithm.kl_coef:
        row += policy.forward(whole)
    if algorithm.has_critic:
        row += critic.forward(whole) + critic.train(whole)
    if plan.reads or "current_logprob_T" in algorithm.columns:
        row += policy.forward(whole)
    return Iteration(flops=rows * row, tokens=rows * response, env_steps=rows, trajectories=trajectories)


def forms(config: RunConfig, outputs: int | None = None) -> TransformerFlops:
    """The closed forms of `model=tiny` over the environment's words."""
    model = config.model
    decoder = SimpleNamespace(
        model_type="gpt2",
        hidden_size=model.width,
        num_hidden_layers=model.layers,
        num_attention_heads=model.heads,
        n_inner=None,
        vocab_size=len(SPECIALS) + len(config.env.vocabulary()),
    )
    return TransformerFlops.of(cast("PreTrainedConfig", decoder), outputs)


def prompt_tokens(spec: EnvironmentSpec) -> int:
    """Tokens of the first prompt of the first training task, history included."""
    task = spec.training_panel()[0]
    environment = spec.make()
    observation, _ = environment.reset(task)
    environment.close()
    goal, seen = len(normalise(task.goal).split()), len(normalise(observation).split())
    pair = seen + spec.max_action_tokens + 2
    whole = 3 + (goal + 1 if goal else 0) + seen + spec.history * pair
    return min(whole, spec.max_prompt_tokens)


def check_budget(config: RunConfig) -> None:
    """Raise `UserError` for a budget that not even one iteration of full length fits into."""
    axis, limit = config.budget.axis, config.budget.limit
    most = predict(config).on(axis)
    if limit < most:
        raise UserError(
            f"budget.limit={limit:g} {axis.value} is less than one iteration of {config.algorithm.name} "
            f"can spend ({most:.3g}): raise it, or lower batch.trajectories"
        )
