"""What a run is made of."""

from dataclasses import dataclass
from enum import Enum

from algorithms.base import Algorithm
from envs.base import ClosedVocabulary, EnvironmentSpec
from envs.frame import Frame
from harness.config.model import ModelConfig, PretrainedModel, TinyModel
from harness.config.prompt import OF_ENVIRONMENT, PromptConfig
from harness.errors import require
from harness.records.batch import asks_for, described
from harness.records.columns import Moment


class Reward(Enum):
    """What a policy is trained on."""

    paid = "paid"
    """What the environment pays."""
    success = "success"
    """1 for the step that solves the task, 0 for all others: of a graded environment, success alone."""


MOST_REWARD = 1e3
"""The largest scale of rewards: their squares must not overflow anywhere."""


class BudgetAxis(Enum):
    """What a budget counts."""

    flops = "flops"
    tokens = "tokens"
    env_steps = "env_steps"
    trajectories = "trajectories"
    gpu_seconds = "gpu_seconds"


@dataclass(frozen=True)
class BudgetConfig:
    """When every arm stops."""

    limit: float
    """The amount, in the axis' unit, after which a run stops; it finishes the iteration in flight."""
    axis: BudgetAxis = BudgetAxis.flops
    """What is counted: `flops` (closed forms, see the ledger), `tokens` (sampled), `env_steps`,
    `trajectories` (branches included), or `gpu_seconds`: rollouts and updates on the device that the run has
    to itself, a CPU core for model=tiny; the only axis on which a run is not reproducible."""

    def __post_init__(self) -> None:
        require(self.limit > 0, f"budget.limit={self.limit:g} must be above 0")


@dataclass(frozen=True)
class BatchConfig:
    """The shape of an iteration, the same for every arm."""

    trajectories: int = 128
    """Most trajectories sampled in an iteration, branches included: as many whole tasks (of `rollouts`
    each) as fit and can be dealt evenly to the mini-batches."""
    minibatches: int = 4
    """Optimiser steps in an iteration; tasks are dealt to them evenly."""
    micro_tokens: int = 32768
    """Most tokens in one forward-backward pass, not counting rows that are a prefix of another row; changes
    memory and speed, not results."""

    def __post_init__(self) -> None:
        for name in ("trajectories", "minibatches", "micro_tokens"):
            value = getattr(self, name)
            require(value >= 1, f"batch.{name}={value} must be at least 1")


@dataclass(frozen=True)
class EvaluationConfig:
    """How success is measured, outside the budget."""

    points: int = 10
    """Evaluations after the first, at equal fractions of the budget."""
    episodes: int = 4
    """Sampled episodes for each task of the panel; one greedy episode is played as well."""
    window: int = 3
    """Evaluations at the end of a run whose mean is its final score."""
    record: int = 2
    """Tasks of the panel, the first ones, whose sampled episodes each evaluation keeps for `harness.credit`
    and `reports.viewer`, in `trajectories/POINT.jsonl.gz` of the run; 0 for none. It changes no other number,
    so it is the one option that a cell's name does not depend on."""

    def __post_init__(self) -> None:
        require(self.record >= 0, f"evaluation.record={self.record} must not be negative")
        for name in ("points", "episodes", "window"):
            value = getattr(self, name)
            require(value >= 1, f"evaluation.{name}={value} must be at least 1")
        require(
            self.window <= self.points,
            f"evaluation.window={self.window} exceeds evaluation.points={self.points}: lower the window",
        )


class Engine(Enum):
    """What generates tokens."""

    torch = "torch"
    vllm = "vllm"


@dataclass(frozen=True)
class EngineConfig:
    """The generation engine."""

    name: Engine = Engine.torch
    """The engine, as in `engine=NAME`: `torch`, on the weights that are trained; `vllm`, on a copy of them in
    the same process, extra `[vllm]`."""
    cache_tokens: int = 131072
    """Tokens whose keys and values are kept, so that a prompt is read only from where it differs from those
    before: 2 x layers x key-value heads x head size numbers each. It bounds how many episodes generate at
    once; otherwise it changes speed, and results by rounding alone."""

    def __post_init__(self) -> None:
        require(self.cache_tokens >= 1, f"engine.cache_tokens={self.cache_tokens} must be at least 1")


@dataclass(frozen=True)
class RolloutConfig:
    """How episodes are scheduled, and what the policy is paid for them."""

    barrier: bool = True
    """Whether all episodes of a batch take a step before any takes its next. Without it nobody waits, which
    pays if responses differ in length or environments are slow."""
    timeout: float = 0.0
    """Seconds that an episode's environment may take in all, replays for branches aside; an episode that runs
    out of them is lost. Above 0, environments step on threads of their own, all at once; 0: no limit,
    and they step one after another, which is fastest if a step takes microseconds. Without barrier and
    above 0, a run can't be repeated to the last digit: who generates beside whom is up to the clock."""
    max_lost: float = 0.1
    """The largest share of an iteration's, or an evaluation's, episodes that may be lost to environments
    which crash or run out of time; with more (and more than one) the run fails. Lost episodes are neither
    trained on nor scored."""
    reward: Reward = Reward.paid
    """What a policy is trained on: what the environment pays (`paid`), or 1 for the step that solves the task
    and nothing else (`success`). Scores stay what they are."""
    reward_scale: float = 1.0
    """What a reward is multiplied by before the policy is trained on it: 10 for the 10 / 0 that papers pay on
    ALFWorld and WebShop. It matters if something else is measured in rewards: value_clip, advantages that are
    only centred next to a KL and an entropy bonus, and the penalties (model.format_penalty,
    algorithm.invalid_penalty), which are not multiplied."""
    overlap: bool = False
    """Whether the next iteration's rollout is played while the weights are updated, on a second core, by the
    policy from before the update. The metric `staleness` counts the iterations that have trained the policy
    between playing and training: 0 in the first, then 1. It is for single runs: sweeps that compare refuse
    it, and so do algorithms that branch or credit by the policy of the moment. It takes room for another copy
    of the weights, and for the engine's cache during an update."""

    def __post_init__(self) -> None:
        require(self.timeout >= 0, f"rollout.timeout={self.timeout:g} must not be negative")
        require(
            0 < self.reward_scale <= MOST_REWARD,
            f"rollout.reward_scale={self.reward_scale:g} must be above 0 and at most {MOST_REWARD:g}",
        )
        require(0 <= self.max_lost < 1, f"rollout.max_lost={self.max_lost:g} must be at least 0 and below 1")


@dataclass(frozen=True)
class RunConfig:
    """One cell: an algorithm on an environment with a model and a seed, until the budget is spent."""

    algorithm: Algorithm
    env: EnvironmentSpec
    prompt: PromptConfig
    model: ModelConfig
    engine: EngineConfig
    rollout: RolloutConfig
    batch: BatchConfig
    budget: BudgetConfig
    evaluation: EvaluationConfig
    seed: int
    """Drives the initial weights, the order of tasks, the episodes' noise and every sampled token."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed={self.seed} must be 0 to 4294967295")
        self._check_batch()
        self._check_environment()
        self._check_words()
        self._check_overlap()
        self._check_engine()

    def _check_batch(self) -> None:
        rollouts = self.algorithm.plan().trajectories
        least = rollouts * self.batch.minibatches
        require(
            self.batch.trajectories >= least,
            f"batch.trajectories={self.batch.trajectories} must be at least {least}: {self.algorithm.name} "
            f"samples {rollouts} rollouts per task, and each of batch.minibatches={self.batch.minibatches} "
            "needs a task",
        )

    def _check_environment(self) -> None:
        name, env = self.algorithm.name, self.env
        require(
            env.repeatable or not self.algorithm.plan().branches,
            f"algorithm={name} branches, which env={env.name} can't: the same actions need not lead to the "
            "same state there; choose an algorithm without branches, or another environment",
        )
        require(
            self.has_exact_values or not any(column.exact for column in described(self.algorithm.columns)),
            f"algorithm={name} needs true values, which env={env.name} with model={self.model.name} can't "
            "supply with these settings: choose env=vault with env.slip=0, env.history=0, env.thought=0 and "
            "model=tiny, with rollout.reward=paid and rollout.reward_scale=1",
        )

    def _check_words(self) -> None:
        """The model can read what the environment says, and say what it reads."""
        env, model = self.env, self.model
        if isinstance(model, TinyModel):
            require(
                isinstance(env, ClosedVocabulary),
                f"env={env.name} has no fixed vocabulary, which model={model.name} needs: choose a "
                "pretrained model, e.g. model=smollm2_135m",
            )
            require(
                self.prompt.name == OF_ENVIRONMENT,
                f"prompt={self.prompt.name} is for pretrained models; model={model.name} reads words alone: "
                "leave it out",
            )
        require(
            env.lists_actions or not model.clone_updates,
            f"env={env.name} lists no actions that a warm start could clone: set model.clone_updates=0",
        )
        if isinstance(model, PretrainedModel):
            require(
                not env.thought_tokens,
                f"env.thought={env.thought_tokens} is for model=tiny: a chat model thinks by its own prompt, "
                "see model.answer; leave it out",
            )
            require(
                env.lists_actions or not model.answer.needs_list,
                f"env={env.name} lists no actions to choose from, model.answer={model.answer.value} needs "
                "some: choose open, tagged, react or tool_call",
            )

    def _check_overlap(self) -> None:
        algorithm, plan = self.algorithm, self.algorithm.plan()
        branches = plan.each_minibatch or plan.reads
        present = asks_for(algorithm.columns, Moment.present)
        require(
            not (self.rollout.overlap and (branches or present)),
            f"rollout.overlap=true clashes with algorithm={algorithm.name}, which asks about the policy of "
            "the moment: overlapped rollouts are an older one's; leave it out, or choose another algorithm",
        )
        require(
            not (self.rollout.overlap and self.model.gpus > 1),
            f"rollout.overlap=true clashes with model.gpus={self.model.gpus}: playing and training would "
            "wait for the other ranks at the same time; leave one of them out",
        )

    def _check_engine(self) -> None:
        longest = self.longest_prompt + self.longest_response
        require(
            self.engine.cache_tokens >= longest,
            f"engine.cache_tokens={self.engine.cache_tokens} must be at least {longest}: the longest prompt "
            "and its response",
        )

    @property
    def frame(self) -> Frame:
        """The words around a task."""
        return self.prompt.frame or self.env.frame

    @property
    def has_exact_values(self) -> bool:
        """Whether the policy's values can be computed: situations and what is said in them can be listed."""
        as_paid = self.rollout.reward is Reward.paid and self.rollout.reward_scale == 1
        return self.env.enumerable and self.model.exact_actions and as_paid

    @property
    def longest_prompt(self) -> int:
        """Most tokens of a prompt."""
        model = self.model
        return model.max_prompt_tokens if isinstance(model, PretrainedModel) else self.env.max_prompt_tokens

    @property
    def longest_response(self) -> int:
        """Most tokens of a response, the end token included."""
        model = self.model
        return model.max_action_tokens if isinstance(model, PretrainedModel) else self.env.longest_response

    @property
    def tasks_per_iteration(self) -> int:
        """Tasks drawn in one iteration."""
        tasks = self.batch.trajectories // self.algorithm.plan().trajectories
        return tasks - tasks % self.batch.minibatches
