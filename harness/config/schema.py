"""What a run and a sweep are made of."""

from dataclasses import dataclass, field
from enum import Enum

from algorithms.base import Algorithm
from envs.base import ClosedVocabulary, EnvironmentSpec
from envs.frame import Frame
from harness.config.model import ModelConfig, PretrainedModel, TinyModel
from harness.config.prompt import OF_ENVIRONMENT, PromptConfig
from harness.errors import check_folder, check_name, require
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


class Scale(Enum):
    """How a tuning knob's values are spread between its ends."""

    linear = "linear"
    log = "log"


@dataclass(frozen=True)
class Knob:
    """One option that tuning varies, the same values for every algorithm."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    scale: Scale = Scale.log
    """`log`: equal ratios are equally likely; `linear`: equal differences."""
    tied: dict[str, float] = field(default_factory=dict)
    """Options that move with this one, each with the multiple of its value that it is set to."""

    def __post_init__(self) -> None:
        least = "above 0" if self.scale is Scale.log else "a number"
        positive = self.low > 0 or self.scale is Scale.linear
        require(
            positive and self.low < self.high,
            f"sweep.space: low={self.low:g} must be {least} and below high={self.high:g}",
        )


class Tracker(Enum):
    """Experiment trackers."""

    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"
    mlflow = "mlflow"
    trackio = "trackio"


@dataclass(frozen=True)
class TrackerConfig:
    """Where a sweep's metrics are copied to while it runs; not part of any cell."""

    name: Tracker = Tracker.none
    """The tracker, as in `tracker=NAME`: none, tensorboard, wandb (offline unless WANDB_MODE is set), mlflow
    (a file in the sweep's directory unless MLFLOW_TRACKING_URI is set), trackio (local)."""


@dataclass(frozen=True)
class SweepConfig:
    """A comparison: algorithms x seeds, everything else held still."""

    name: str
    """The sweep's name, as in `+sweep=NAME`; part of the names of its directory and of its jobs."""
    algorithms: tuple[str, ...]
    """The arms, as in `algorithm=NAME`; options of an arm of its own follow its name: `grpo rollouts=4`."""
    seeds: tuple[int, ...]
    """The seeds of every arm; arms are paired by seed. `auto`: as many as `reports.power` finds in `pilot`
    for `effect` at 80 % power under Holm. They start after the pilot's highest: runs that chose the number of
    seeds, and often the arms, can't confirm what they suggested at the error rate that a test states."""
    out: str
    """The sweep's directory: the run store, and the report. It belongs to one sweep; the same one with more
    seeds, arms or environments goes on in it."""
    envs: tuple[str, ...] = ()
    """The environments that every arm runs on, as in `env=NAME`; options of its own follow its name: `vault
    slip=0.1`. Batch, budget and evaluation are the same in all, but for budgets that the entries declare:
    `vault thought=8 budget.limit=1.9e12`. Arms are compared inside each, and by their
    means over all. Empty: the one that `env=NAME` chooses."""
    crossed: dict[str, list[str]] = field(default_factory=dict)
    """Options of every arm by name, each with the values it takes: arms are made for all combinations, those
    whose factors clash left out."""
    contrasts: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Comparisons declared before anything ran: by name, `left` and `right`, each a list of selectors of arms
    like `grpo` or `credit_unit=step ratio_unit=token`. The means over the arms of both sides are compared
    seed by seed, all contrasts as one family."""
    factors: tuple[str, ...] = ()
    """Options of the algorithms whose effects the report's models estimate together, each with the others
    held still; the arms must hold every combination of their values."""
    factor_arms: tuple[str, ...] = ()
    """Selectors, as in contrasts, of the arms that the models are fitted to; empty: all."""
    sesoi: float = 0.05
    """Smallest effect of interest, a difference in final success: arms that are shown to differ by less are
    called alike or equivalent. Declared before anything runs."""
    trials: int = 0
    """Settings that a tuning tries for every algorithm besides the default one, the same points for all; 0:
    no tuning but a comparison."""
    space: dict[str, Knob] = field(default_factory=dict)
    """What a tuning varies, by option: `model.lr`, `algorithm.entropy_coef`."""
    tuned: str = ""
    """A tuning's frozen winners: a name in sweeps/tuned, or a YAML file. A comparison with it runs every arm
    at its tuned and at its default setting; `newest` takes the last file made for this environment, model,
    batch and budget. A tuning writes it, if empty as ENV-MODEL-DATE."""
    pilot: str = ""
    """With `seeds=auto`: the directory (its sweep.out) of a finished pilot of this sweep."""
    effect: float = 0.1
    """With `seeds=auto`: the smallest difference in final success worth finding, a share of tasks."""
    append: bool = False
    """Add these cells to those that `out` has of other settings, and report all of them."""

    def __post_init__(self) -> None:
        check_name(self.name, "sweep.name")
        check_folder(self.out, "sweep.out")
        self._check_tuning()
        require(0 < self.sesoi < 1, f"sweep.sesoi={self.sesoi:g} must be above 0 and below 1")
        for name, sides in self.contrasts.items():
            require(
                set(sides) == {"left", "right"},
                f"sweep.contrasts.{name} must have left and right, it has {', '.join(sides) or 'neither'}",
            )
        require(
            not self.factor_arms or len(self.factors) > 0,
            f"sweep.factor_arms={list(self.factor_arms)} is read with sweep.factors alone: name the factors",
        )
        require(
            not (self.append and (self.trials or self.tuned)),
            "sweep.append clashes with sweep.trials and sweep.tuned: a tuning has a directory of its own",
        )
        require(len(self.algorithms) > 0, "sweep.algorithms is empty: name at least one, e.g. [grpo,steppo]")
        require(len(self.seeds) > 0, "sweep.seeds is empty: name at least one, e.g. sweep.seeds=[0,1,2]")
        for name in ("algorithms", "envs", "seeds"):
            values = getattr(self, name)
            require(len(set(values)) == len(values), f"sweep.{name}={list(values)} names one twice")

    def _check_tuning(self) -> None:
        require(self.trials >= 0, f"sweep.trials={self.trials} must not be negative")
        require(
            not (self.crossed and (self.trials or self.tuned)),
            "sweep.crossed clashes with sweep.trials and sweep.tuned: tune named arms",
        )
        require(
            not (self.envs and (self.trials or self.tuned)),
            "sweep.envs clashes with sweep.trials and sweep.tuned: a setting is tuned on one environment, "
            "choose it with env=NAME",
        )
        require(
            not (self.contrasts and self.trials),
            "sweep.contrasts clashes with sweep.trials: a tuning compares no arms",
        )
