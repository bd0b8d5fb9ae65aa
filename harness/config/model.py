"""Which policy a run trains, how it reads and answers, and how it is optimised."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from harness.errors import UserError, check_name, require


class Schedule(Enum):
    """How learning rates change as the budget is spent."""

    constant = "constant"
    linear = "linear"
    cosine = "cosine"

    def factor(self, fraction: float) -> float:
        """What a rate is multiplied with when `fraction` of the budget is spent."""
        fraction = min(fraction, 1.0)
        if self is Schedule.linear:
            return 1.0 - fraction
        return 0.5 + 0.5 * math.cos(math.pi * fraction) if self is Schedule.cosine else 1.0


class Device(Enum):
    """Where the model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(Enum):
    """In which numbers the model multiplies; weights, moments and losses are always fp32."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class CriticKind(Enum):
    """What predicts values if an algorithm has a critic."""

    separate = "separate"
    head = "head"


class Answer(Enum):
    """What the prompt says about the admissible actions, and how the policy names one."""

    open = "open"
    listed = "listed"
    numbered = "numbered"
    tagged = "tagged"
    react = "react"
    tool_call = "tool_call"

    @property
    def has_form(self) -> bool:
        """Whether a response can be ill-formed: it must mark the action."""
        return self in (Answer.tagged, Answer.react, Answer.tool_call)

    @property
    def needs_list(self) -> bool:
        """Whether it chooses from a list of actions."""
        return self in (Answer.listed, Answer.numbered)


class Truncation(Enum):
    """What happens to a conversation that is longer than `max_prompt_tokens`."""

    oldest = "oldest"
    refuse = "refuse"
    stop = "stop"


@dataclass(frozen=True)
class ModelConfig:
    """What every policy has."""

    exact_actions: ClassVar[bool] = False
    """Whether exactly one response reads as each action, so that an action's probability is that one's."""

    name: str
    """The model's name, as in `model=NAME`."""
    device: Device = Device.cpu
    """`cpu`, `cuda`, or `auto`: a CUDA device if there is one. model=tiny is fastest on a CPU."""
    gpus: int = 1
    """Devices of this machine that one run has, a process each: every one plays its share of the episodes
    with the whole policy and trains on its share of each mini-batch, weights, gradients and moments sharded
    by FSDP2. On CPUs, this many processes, which is for testing. It changes results by rounding alone."""
    precision: Precision = Precision.fp32
    """`fp32`; `bf16`: matrix products in bfloat16 under autocast, refused if the hardware would emulate
    them; `auto`: bf16 if the hardware has it. Weights, moments and losses are fp32 in each."""
    critic: CriticKind = CriticKind.separate
    """For algorithms with a critic: a `separate` model of the policy's size, or a scalar `head` on the
    policy's own trunk, trained in the policy's optimiser steps."""
    lr: float = 1e-3
    """AdamW learning rate of the policy at the start."""
    critic_lr: float = 2e-3
    """AdamW learning rate of the critic at the start; used by algorithms that have one."""
    value_coef: float = 0.5
    """Weight of the value loss relative to the policy's, if critic=head (0.5 as in PPO2)."""
    schedule: Schedule = Schedule.constant
    """How both rates change with the fraction of the budget that is spent, so that arms with more iterations
    are not annealed earlier: constant; or to 0 at the limit, in a line or by half a cosine."""
    weight_decay: float = 0.01
    """AdamW weight decay."""
    grad_clip: float = 1.0
    """Largest global gradient norm."""
    clone_steps: int = 3000
    """Steps of uniformly random valid play whose situations the warm start learns from."""
    clone_updates: int = 400
    """Optimiser steps of the warm start, 32 rows each; 0: no warm start."""
    clone_lr: float = 3e-3
    """AdamW learning rate of the warm start."""

    def __post_init__(self) -> None:
        check_name(self.name, "model.name")
        require(self.clone_steps >= 1, f"model.clone_steps={self.clone_steps} must be at least 1")
        for name in ("lr", "critic_lr", "value_coef", "weight_decay", "clone_updates"):
            value = getattr(self, name)
            require(value >= 0, f"model.{name}={value} must not be negative")
        require(self.gpus >= 1, f"model.gpus={self.gpus} must be at least 1")
        require(self.grad_clip > 0, f"model.grad_clip={self.grad_clip} must be above 0")
        require(self.clone_lr > 0, f"model.clone_lr={self.clone_lr} must be above 0")


@dataclass(frozen=True)
class TinyModel(ModelConfig):
    """A decoder made from scratch over the environment's words, warm-started on random play."""

    exact_actions: ClassVar[bool] = True

    name: str = "tiny"
    """The model's name, as in `model=NAME`."""
    layers: int = 2
    """Transformer blocks."""
    width: int = 64
    """Hidden size; a multiple of heads."""
    heads: int = 4
    """Attention heads."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("layers", "width", "heads"):
            value = getattr(self, name)
            require(value >= 1, f"model.{name}={value} must be at least 1")
        require(self.width % self.heads == 0, f"model.width={self.width} must be a multiple of model.heads")


@dataclass(frozen=True)
class PretrainedModel(ModelConfig):
    """A pretrained chat model of transformers' decoder-only architectures, with its own tokenizer."""

    name: str = "pretrained"
    """The model's name, as in `model=NAME`."""
    source: str = ""
    """Where the weights come from: a name on the Hugging Face hub, a folder that `save_pretrained` wrote, or
    a package that `python -m harness.models` lists."""
    revision: str = ""
    """The commit of a hub model; empty: the newest one that was fetched."""
    device: Device = Device.auto
    """`cpu`, `cuda`, or `auto`: a CUDA device if there is one."""
    precision: Precision = Precision.auto
    """`fp32`; `bf16`: matrix products in bfloat16 under autocast, refused if the hardware would emulate
    them; `auto`: bf16 if the hardware has it. Weights, moments and losses are fp32 in each."""
    lr: float = 1e-6
    """AdamW learning rate of the policy at the start (verl-agent's scripts)."""
    critic_lr: float = 1e-5
    """AdamW learning rate of the critic at the start (verl-agent's scripts)."""
    clone_updates: int = 0
    """Optimiser steps of the warm start, 32 rows each; 0: no warm start."""
    clone_lr: float = 1e-5
    """AdamW learning rate of the warm start."""
    answer: Answer = Answer.numbered
    """How the policy names its action. `open`: in words, the prompt lists no actions; `listed`: in the words
    of one of the actions that the prompt lists; `numbered`: by its number in that list. Free text with the
    action marked in it: `tagged`: in `<action> </action>`, thoughts in `<think> </think>`; `react`: in a line
    `Action: …` after `Thought: …`; `tool_call`: by a call of a function, in the form of the model's own chat
    template. These three list the admissible actions if there are any."""
    format_penalty: float = 0.0
    """What an ill-formed response of `tagged`, `react` or `tool_call` costs of the step's reward."""
    stop_on_format: bool = False
    """Whether such a response ends the episode; without, the environment reads an empty action."""
    enable_thinking: bool = False
    """Whether the chat template is told to let the model think, if it knows the switch (Qwen3). Thoughts
    are part of the response: they need a larger max_action_tokens."""
    example: bool = True
    """Begin each conversation with made-up turns that show how to answer, if the environment has any."""
    max_prompt_tokens: int = 2048
    """Longest prompt in the model's tokens; env.max_prompt_tokens counts words and is not used."""
    max_action_tokens: int = 16
    """Longest response in the model's tokens, the end token included; env.max_action_tokens counts words and
    limits the environment's commands alone."""
    truncation: Truncation = Truncation.oldest
    """A longer conversation: `oldest`: its oldest turns are left out, then the end of the observation, and
    the metrics say how many; `refuse`: the run fails; `stop`: the episode ends, unsolved (a first prompt that
    is too long is cut all the same)."""
    lora_rank: int = 0
    """Rank of LoRA adapters, which are then trained instead of the weights; 0: none. Extra `[lora]`."""
    lora_alpha: float = 32.0
    """Adapters are scaled by lora_alpha / lora_rank."""
    lora_targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )
    """Names of the linear layers that get adapters."""
    checkpointing: bool = False
    """Keep no activations inside blocks and compute them again in the backward pass: less memory, a third
    more time to train. Recomputed operations are computed work, not nominal."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "lora_targets", tuple(self.lora_targets))  # a list in YAML
        require(
            bool(self.source),
            "model.source is empty: name a hub model or a folder, e.g. Qwen/Qwen2.5-0.5B-Instruct",
        )
        for name in ("max_prompt_tokens", "max_action_tokens"):
            value = getattr(self, name)
            require(value >= 1, f"model.{name}={value} must be at least 1")
        require(
            0 <= self.format_penalty < math.inf,
            f"model.format_penalty={self.format_penalty:g} must be 0 or more, and finite",
        )
        require(
            self.answer.has_form or not (self.format_penalty or self.stop_on_format),
            f"model.answer={self.answer.value} has no form to break: leave model.format_penalty and "
            "model.stop_on_format out, or choose tagged, react or tool_call",
        )
        require(self.lora_rank >= 0, f"model.lora_rank={self.lora_rank} must not be negative")
        if self.lora_rank and not self.lora_targets:
            raise UserError("model.lora_targets is empty: name layers, e.g. [q_proj,v_proj]")
