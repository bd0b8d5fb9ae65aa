"""What an iteration costs at most, from the configuration alone: for plans, and to refuse budgets below it.

Every episode runs to the horizon, every response has its longest length, every rollout is trained; prompts
are as long as the first one of the first task would make them. For model=tiny, neither torch nor transformers
is loaded; of a pretrained model, its configuration and its tokenizer are. A plan may be made where the model
or the environment is not: a model's shape is then the published one, and prompts are as long as they may be.

Shape suffixes: S steps of an episode, L tokens of a response.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, cast

import numpy as np

from algorithms.factors import KLPlace
from envs.base import ClosedVocabulary, EnvironmentSpec, Info, Task, normalise
from harness.config.model import CriticKind, ModelConfig, PretrainedModel, TinyModel
from harness.config.prompt import PromptConfig
from harness.config.schema import BudgetAxis, Engine, RunConfig
from harness.errors import UserError
from harness.ledger.flops import LoRA, TransformerFlops
from harness.policy.columns import FILLERS
from harness.policy.prompting import Turn
from harness.policy.shapes import SmallShape, published_shape
from harness.policy.source import Missing, locate
from harness.policy.specials import SPECIALS
from harness.rollout.environments import Crash, answer

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
    policy, response = forms(config), config.longest_response
    prompt_S = np.array(prompt_lengths(config))
    whole_S = prompt_S + response
    decoded_SL = prompt_S[:, None] + 1 + np.arange(response - 1)
    episode = policy.forward(prompt_S) + policy.decode(decoded_SL) + policy.train(whole_S)
    fillers = [FILLERS[name] for name in algorithm.columns & FILLERS.keys()]
    episode += sum(filler.policy_passes for filler in fillers) * policy.forward(whole_S)
    if algorithm.kl_coef and algorithm.kl_place is KLPlace.loss:
        episode += policy.forward(whole_S)
    if algorithm.has_critic:
        critic = forms(config, outputs=1)
        trained = critic if config.model.critic is CriticKind.separate else head_forms(config)
        episode += sum(filler.critic_passes for filler in fillers) * critic.forward(whole_S)
        episode += trained.train(whole_S)
    if config.engine.name is Engine.vllm:
        episode += policy.forward(whole_S)
    # At other moments roots alone are scored, and if branches follow they are half of all at most: the
    # sampler's and the trainer's passes together are at most one over all.
    if plan.reads or "current_logprob_T" in algorithm.columns:
        episode += policy.forward(whole_S)
    trajectories = config.tasks_per_iteration * plan.trajectories
    rows = trajectories * config.env.horizon
    return Iteration(
        flops=trajectories * episode, tokens=rows * response, env_steps=rows, trajectories=trajectories
    )


def forms(config: RunConfig, outputs: int | None = None) -> TransformerFlops:
    """The closed forms of the model that will run; `outputs` of its head, the vocabulary when None."""
    decoder, lora = architecture(config.model, config.env), None
    if isinstance(config.model, PretrainedModel) and config.model.lora_rank:
        lora = LoRA(config.model.lora_rank, config.model.lora_targets)
    return TransformerFlops.of(decoder, outputs, lora)


def head_forms(config: RunConfig) -> TransformerFlops:
    """The closed forms of a value head alone."""
    width = architecture(config.model, config.env).hidden_size
    return TransformerFlops(matmul_params=width, attention=0)


@cache
def architecture(model: ModelConfig, env: EnvironmentSpec) -> "PreTrainedConfig | SmallShape":
    """A pretrained model's own configuration, or that of model=tiny over the environment's words."""
    if isinstance(model, PretrainedModel):
        from transformers import AutoConfig

        try:
            folder = locate(model)
        except Missing:
            if shape := published_shape(model):
                return shape
            raise
        found: PreTrainedConfig = AutoConfig.from_pretrained(folder)
        return found
    assert isinstance(model, TinyModel)
    assert isinstance(env, ClosedVocabulary)
    return SmallShape.of(model, env, len(SPECIALS) + len(env.vocabulary()))


def prompt_lengths(config: RunConfig) -> list[int]:
    """Tokens of each step's prompt in an episode to the horizon."""
    model, env = config.model, config.env
    if not measurable(model, env):
        return [config.longest_prompt] * env.horizon
    if isinstance(model, PretrainedModel):
        first, turn = conversation_tokens(model, env, config.prompt)
        grown = [first + turn * min(step, env.history) for step in range(env.horizon)]
        return [min(length, model.max_prompt_tokens) for length in grown]
    return [prompt_tokens(env)] * env.horizon


@cache
def measurable(model: ModelConfig, env: EnvironmentSpec) -> bool:
    """Whether this machine has what a first prompt is made from: the environment and the tokenizer."""
    try:
        env.check()
        if isinstance(model, PretrainedModel):
            locate(model)
    except UserError:
        return False
    return True


@cache
def conversation_tokens(
    model: PretrainedModel, env: EnvironmentSpec, prompt: PromptConfig
) -> tuple[int, int]:
    """Tokens of a conversation about the first observation of the first task, and of a turn more."""
    from harness.policy.chat import ChatPrompts

    roomy = replace(model, max_prompt_tokens=2**31)
    frame = prompt.frame or env.frame
    vocabulary = architecture(model, env).vocab_size
    prompts = ChatPrompts(roomy, locate(model), vocabulary, 1, frame, env.verbatim, env.tools)
    task, observation, info = beginning(env)
    longest = max(info.admissible, key=len, default="")
    turn = Turn(observation, longest, (prompts.pad_id,) * model.max_action_tokens, info.admissible)
    lengths = [len(prompts.prompt(task.goal, past, observation, info.admissible)) for past in ((), (turn,))]
    return lengths[0], lengths[1] - lengths[0]


@cache
def beginning(spec: EnvironmentSpec) -> tuple[Task, str, Info]:
    """The first training task and how it begins; raises `UserError` if it does not."""
    task, environment = spec.training_panel()[0], spec.make()
    begun = answer(lambda: environment.reset(task))
    environment.close()
    if isinstance(begun, Crash):
        raise UserError(f"task {task.id} of env={spec.name} does not start: {begun.reason}")
    observation, info = cast("tuple[str, Info]", begun)
    return task, observation, info


def prompt_tokens(spec: EnvironmentSpec) -> int:
    """Tokens of model=tiny's first prompt of the first training task, history included."""
    task, observation, _ = beginning(spec)
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
