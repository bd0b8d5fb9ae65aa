"""TRL's own loop over turns: GRPOTrainer with an `environment_factory`, up to the end of its generation.

Its tokenizer is made of words `w3`, `w4`, ..., one token each, so that the lengths are ours to choose. What a
model samples here is no call of a tool, so every answer counts as one, which spares TRL the parsing.
"""

import contextlib
import tempfile
import warnings
from typing import Any
from unittest import mock

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.lengths import Lengths
from benchmarks.machine import seconds
from benchmarks.training import GROUP
from benchmarks.trl_side import Dataset, GRPOTrainer, options

WORDS = 64
SPECIAL = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<eos>"}
TEMPLATE = (
    "{% for message in messages %}{{ message.content }} {% for call in message.tool_calls or [] %}"
    "{{ call.function.name }} {{ call.function.arguments }} {% endfor %}{% endfor %}"
)
"""What TRL asks of a template: every part of a call shows, and nothing that follows changes it."""
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "act", "arguments": {"action": "w1"}}}],
}


class Played(Exception):
    """Generation is over; what follows is not measured."""


class Timed(GRPOTrainer):
    """Stops after the generation of the first batch."""

    def _generate(self, prompts: Any) -> Any:
        start = seconds(self.model.device)
        done = super()._generate(prompts)
        self.took = seconds(self.model.device) - start
        self.sampled = sum(sum(mask) for mask in done[2])
        raise Played


def words(count: int) -> str:
    """A text of `count` tokens."""
    return " ".join(f"w{len(SPECIAL) + number % (WORDS - len(SPECIAL))}" for number in range(count))


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word."""
    vocabulary = [*SPECIAL.values(), *(f"w{number}" for number in range(len(SPECIAL), WORDS))]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    found = Tokenizer(WordLevel(numbers, unk_token=SPECIAL["unk_token"]))
    found.pre_tokenizer = WhitespaceSplit()  # type: ignore[assignment]  # the stubs lack a setter
    wrapped = PreTrainedTokenizerFast(tokenizer_object=found, chat_template=TEMPLATE, **SPECIAL)
    wrapped.response_template = {}  # only looked at for being there: see CALL
    return wrapped


def play(model: PreTrainedModel, lengths: Lengths, episodes: int) -> float:
    """Processor seconds of `episodes` episodes."""

    class Environment:
        """Answers every action by an observation of the same length."""

        def reset(self, **_: Any) -> None:
            """The prompt says it all."""

        def act(self, action: str) -> str:
            """Take an action.

            Args:
                action: what to do.
            """
            return words(lengths.observation)

    message = {"role": "user", "content": words(lengths.prompt)}
    exactly = {"max_new_tokens": lengths.response, "min_new_tokens": lengths.response, "top_k": 0}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Timed(
            model=model,
            processing_class=tokenizer(),
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=options(
                folder,
                episodes,
                1,
                GROUP,
                model.device,
                max_completion_length=lengths.longest - lengths.prompt,
                max_tool_calling_iterations=lengths.steps - 1,
                generation_kwargs=exactly,
            ),
            train_dataset=Dataset.from_list([{"prompt": [message]}] * (episodes // GROUP)),
            environment_factory=Environment,
        )
        parsed = mock.patch(
            "trl.trainer.grpo_trainer.parse_response", side_effect=lambda *_, **__: dict(CALL)
        )
        with parsed, contextlib.suppress(Played):
            trainer.train()
    expected = episodes * lengths.steps * lengths.response
    assert trainer.sampled == expected, f"TRL sampled {trainer.sampled} tokens, not {expected}"
    return float(trainer.took)
