"""The environment protocol: Gymnasium's vocabulary, text in and text out.

An `EnvironmentSpec` is an environment's typed configuration (one YAML in `sweeps/env/`). It names the
tasks, says how they are scored and put into words, and makes `Environment` objects. An `Environment` plays
one episode at a time, holds no shared state, and never touches a global random generator, so that episodes
may be stepped in any order, interleaved, or from threads.
"""

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

from envs.frame import TEXT_GAME, Frame
from harness.errors import UserError

STREAMS = ("train", "eval", "tuning-train", "tuning-eval")
"""Where tasks come from. The tuning streams hold no task of the other two."""
WORD = re.compile(r"\w+|[^\w\s]+")
LATER = {"later": True}
"""Metadata of an option that its environment did not always have. At its default it is left out of
configurations and hashes, so that cells, panels and warm starts keep the names they had without it."""


def normalise(text: str) -> str:
    """Lower-case words and punctuation, one space between them: the form policies read and write."""
    return " ".join(WORD.findall(text.lower()))


@dataclass(frozen=True)
class Task:
    """One problem instance. Everything about it is derived from `seed`; `goal` is what the policy is told."""

    id: str
    seed: int
    goal: str = ""


@dataclass(frozen=True)
class Info:
    """What the environment says besides the observation."""

    state_key: str
    """Names the environment's state: equal keys inside one task mean the same state (anchor, graph node)."""
    admissible: tuple[str, ...] = ()
    """The actions that are valid here; empty if actions are free text (see `lists_actions`)."""
    valid: bool = True
    """Whether the action just taken was valid."""
    success: bool = False
    """Whether the task is solved."""
    score: float | None = None
    """How well the task is done so far, 0 to 1, if the environment is graded."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Numbers of the environment's own. An episode keeps the last value of each name; evaluations show their
    means over the episodes that have one, as `env_NAME`."""

    @property
    def score_or_success(self) -> float:
        """The score, 0 to 1; of an environment without scores, 1 for success."""
        return float(self.success) if self.score is None else self.score


class Transition(NamedTuple):
    """What `step` returns, in Gymnasium's order."""

    observation: str
    reward: float
    terminated: bool
    truncated: bool
    info: Info


class Rewards(Enum):
    """When an environment pays."""

    final = "final"
    """At the end of the episode alone, and what it pays is the score."""
    dense = "dense"
    """At any step, within `EnvironmentSpec.reward_range`."""


class Split(Enum):
    """Which tasks the evaluation panel holds."""

    fixed = "fixed"
    unseen = "unseen"


class TaskSet(Enum):
    """What tasks are for. The two sets share no task."""

    comparison = "comparison"
    tuning = "tuning"


class Environment(ABC):
    """One episode of one task. The same (task, seed, actions) always gives the same episode."""

    @abstractmethod
    def reset(self, task: Task, seed: int = 0) -> tuple[str, Info]:
        """Start an episode. `seed` drives the noise of this episode only; the task fixes the rest."""

    @abstractmethod
    def step(self, action: str) -> Transition:
        """Take one action. An invalid action costs a step, changes nothing, and is answered."""

    @property
    @abstractmethod
    def state_key(self) -> str:
        """The name of the present state, as in `Info.state_key`."""

    def copy(self) -> Self | None:
        """An independent environment in the same state, or None if only replay can restore one."""
        return None

    def close(self) -> None:
        """Release what the environment holds outside Python's memory."""
        return None


@dataclass(frozen=True)
class EnvironmentSpec(ABC):
    """An environment's configuration; subclasses add their own dials."""

    name: ClassVar[str]
    """The environment's name, as in `env=NAME`."""
    repeatable: ClassVar[bool] = True
    """Whether the same (task, seed, actions) gives the same episode. Branching needs it; an environment that
    asks a live service, or keeps state between episodes, says False."""
    version: ClassVar[str]
    """Changes whenever an episode of some (task, seed, actions) changes; part of the panel's hash."""
    graded: ClassVar[bool] = False
    """Whether tasks have a score between failure and success. Runs are then evaluated and compared by it."""
    rewards: ClassVar[Rewards] = Rewards.final
    """When it pays."""
    reward_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The least and the most that one step pays."""
    lists_actions: ClassVar[bool] = True
    """Whether `Info.admissible` lists the valid actions of every state; without, actions are free text."""
    verbatim: ClassVar[bool] = False
    """Whether actions reach the environment as they were written, case and line breaks included; without, as
    lower-case words and punctuation with one space between them (`normalise`)."""
    tools: ClassVar[tuple[Mapping[str, object], ...]] = ()
    """Functions that a policy may call with `model.answer=tool_call`, as JSON schemas; an action is then the
    JSON text of `name` and `arguments`. None: one function, `act(action)`, and its text is the action."""
    resources: ClassVar[tuple[str, ...]] = ()
    """Fields that limit what episodes take of the machine and change none; not in the panel's hash."""
    frame: ClassVar[Frame] = TEXT_GAME
    """The words around a task for policies that read prose; `prompt=NAME` puts others in their place."""

    horizon: int = 20
    """Steps after which an episode is cut off as a failure."""
    train_tasks: int = 8
    """Number of distinct training tasks."""
    eval_tasks: int = 8
    """Number of tasks on the evaluation panel; with `split: fixed` they are the first training tasks."""
    split: Split = Split.fixed
    """`fixed`: evaluate on training tasks. `unseen`: evaluate on tasks that training never sees."""
    tasks: TaskSet = TaskSet.comparison
    """`comparison`, or `tuning`: other tasks, to train and to evaluate on, that comparisons never use."""
    history: int = 0
    """Past (observation, action) pairs that the prompt shows before the current observation."""
    max_action_tokens: int = 4
    """Longest response in tokens, the end token included."""
    max_prompt_tokens: int = 256
    """Longest prompt in tokens; the oldest history goes first, then the end of the observation."""

    def __post_init__(self) -> None:
        for name in ("horizon", "train_tasks", "eval_tasks", "max_action_tokens", "max_prompt_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"env.{name}={getattr(self, name)} must be at least 1")
        if self.history < 0:
            raise UserError(f"env.history={self.history} must be at least 0")
        if self.split is Split.fixed and self.eval_tasks > self.train_tasks:
            raise UserError(
                f"env.eval_tasks={self.eval_tasks} exceeds env.train_tasks={self.train_tasks}, "
                "but env.split=fixed evaluates on training tasks: lower eval_tasks or set env.split=unseen"
            )

    @abstractmethod
    def make(self) -> Environment:
        """A new environment; `reset` comes before the first `step`."""

    @abstractmethod
    def task(self, stream: str, index: int) -> Task:
        """The task number `index` of a stream, one of `STREAMS`."""

    @property
    def enumerable(self) -> bool:
        """Whether all situations of a task can be listed, so that values of a policy can be computed exactly.

        Environments copy, have no noise and few situations; what comes next depends on the action, the
        observation and the state key alone; and the policy sees nothing but the observation (no history).
        """
        return False

    @property
    def thought_tokens(self) -> int:
        """Tokens of every response that come before the action and that the environment does not read."""
        return 0

    @property
    def thought_words(self) -> tuple[str, ...]:
        """The words that the warm start's thoughts are made of; none without thoughts."""
        return ()

    @property
    def longest_response(self) -> int:
        """Most tokens of a response, thoughts and the end token included."""
        return self.thought_tokens + self.max_action_tokens

    @property
    def label(self) -> str:
        """What numbers from it are numbers of, where the name would say too much; shown wherever they are."""
        return self.name

    def check(self) -> None:
        """Raise `UserError` if this environment can't run on this machine (an extra is missing, …)."""
        return None

    def files(self) -> list[Path]:
        """The files that episodes are made from. A run whose files have changed is not gone on with."""
        return []

    def training_panel(self) -> list[Task]:
        """The training tasks."""
        return [self.task(self._stream("train"), i) for i in range(self.train_tasks)]

    def evaluation_panel(self) -> list[Task]:
        """The frozen evaluation tasks."""
        stream = self._stream("train" if self.split is Split.fixed else "eval")
        return [self.task(stream, i) for i in range(self.eval_tasks)]

    def _stream(self, split: str) -> str:
        return split if self.tasks is TaskSet.comparison else f"tuning-{split}"

    def planned(self, stream: str) -> int:
        """How many tasks of a stream this configuration uses."""
        return self.train_tasks if stream.endswith("train") else self.eval_tasks

    def panel_hash(self) -> str:
        """SHA-256 over the evaluation tasks, the dials and the environment's version."""
        panel = [asdict(task) for task in self.evaluation_panel()]
        unnamed = {*self.resources, *unset(self)}
        dials = {name: value for name, value in asdict(self).items() if name not in unnamed}
        content = [self.name, self.version, dials, panel]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def unset(options: Any) -> set[str]:
    """The options of a dataclass instance that are `LATER` and at their defaults."""
    later = [option for option in fields(options) if "later" in option.metadata]
    return {option.name for option in later if getattr(options, option.name) == option.default}


class ClosedVocabulary(ABC):
    """For environments that speak in a fixed set of words, which `model=tiny` needs."""

    @abstractmethod
    def vocabulary(self) -> list[str]:
        """Every word that goals, observations and actions can hold, in a fixed order, without repeats."""
