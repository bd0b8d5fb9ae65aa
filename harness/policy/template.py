"""A model's chat template: what it writes around messages, found out by asking it.

The template sees the same date every day, no text that was sampled, and system text only if it has a place
for it.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from harness.errors import UserError
from harness.policy.answer import CallForm

SAMPLED = "\N{OBJECT REPLACEMENT CHARACTER}"
"""Stands where a sampled response is when the template is asked what follows it."""
TODAY = {"%d": "26", "%m": "07", "%b": "Jul", "%B": "July", "%Y": "2024", "%y": "24"}
"""What templates that print the date are told, so that a run is the same tomorrow: the day that Llama 3's own
template names by default."""
FIXED_DATE = "".join(
    [
        "{%- macro strftime_now(format) -%}{{ format",
        *(f".replace('{code}', '{text}')" for code, text in TODAY.items()),
        " }}{%- endmacro -%}",
    ]
)
"""Stands before a template and takes the place of the clock that transformers offers it."""
Message = Mapping[str, Any]


class Template:
    """Renders conversations."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, where: str, enable_thinking: bool = False) -> None:
        """`where`: the model's name in messages. Raises `UserError` if there is no usable template."""
        if not tokenizer.chat_template or tokenizer.eos_token_id is None:
            raise UserError(f"{where} has no chat template: choose a chat model")
        self.tokenizer, self.where, self.enable_thinking = tokenizer, where, enable_thinking
        self.tools: Sequence[dict[str, Any]] = ()
        """The functions that every conversation offers."""
        self.has_system = True
        self.has_system = self._takes_system()
        self.end_id = self._end_id()
        """The token that ends the model's turn, as the template writes it."""
        self.opens_thought = self.render([message("user", "-")]).rstrip().endswith("<think>")
        """Whether the generation prompt begins a thought."""

    def render(self, messages: Sequence[Message], generation: bool = True) -> str:
        """The template's text, with one generation prompt at its end; raises `UserError` if it refuses."""
        try:
            text = self.tokenizer.apply_chat_template(
                self._folded(messages),
                tools=list(self.tools) or None,
                chat_template=self._text(),
                tokenize=False,
                add_generation_prompt=generation,
                enable_thinking=self.enable_thinking,
            )
        except (TemplateError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"{self.where}: its chat template refuses the conversation ({reason})") from error
        return str(text)

    def call_form(self) -> CallForm:
        """How it writes a call; raises `UserError` if it writes none that can be read back."""
        name, argument = "name_of_function", "value_of_argument"
        call = {"type": "function", "function": {"name": name, "arguments": {"argument": argument}}}
        asked = [message("user", "-")]
        answered = [*asked, {"role": "assistant", "content": "", "tool_calls": [call]}]
        before, after = self.render(asked, generation=False), self.render(answered, generation=False)
        text = after[len(before) :] if after.startswith(before) else after
        start, stop = text.find("{"), text.rfind("}") + 1
        refusal = UserError(
            f"{self.where}: its chat template writes no function calls as JSON: choose model.answer=tagged"
        )
        if name not in text or argument not in text:
            raise refusal
        try:
            content = json.loads(text[start:stop])
            name_key = next(key for key, value in content.items() if value == name)
            arguments_key = next(k for k, value in content.items() if value == {"argument": argument})
        except (ValueError, AttributeError, StopIteration) as error:
            raise refusal from error
        # What stands before any answer, the empty thoughts of an answer that does not think among it.
        plain = self.render([*asked, message("assistant", SAMPLED)], generation=False)
        opening = text[:start].removeprefix(plain[len(before) :].partition(SAMPLED)[0])
        closing = text[stop:].partition(str(self.tokenizer.decode([self.end_id])))[0]
        return CallForm(opening, closing, name_key, arguments_key)

    def _text(self) -> str:
        """The template's own text, that for conversations with functions if there are some."""
        text = str(self.tokenizer.get_chat_template(tools=list(self.tools) or None))
        return FIXED_DATE + text if "strftime_now" in text else text

    def _folded(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """System text before the first user message, if the template has no place for it."""
        plain = [dict(each) for each in messages]
        if self.has_system or plain[0]["role"] != "system":
            return plain
        system, first, *rest = plain
        return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]

    def _takes_system(self) -> bool:
        try:
            return SAMPLED in self.render([message("system", SAMPLED), message("user", "-")])
        except UserError:
            return False

    def _end_id(self) -> int:
        """The special token that the template writes after an answer, else the tokenizer's own end."""
        text = self.render([message("user", "-"), message("assistant", SAMPLED)], generation=False)
        ids = self.tokenizer.encode(text.rpartition(SAMPLED)[2], add_special_tokens=False)
        special = ids and ids[0] in self.tokenizer.all_special_ids
        return int(ids[0]) if special else int(self.tokenizer.eos_token_id)


def message(role: str, content: str) -> dict[str, Any]:
    """A message as chat templates read it."""
    return {"role": role, "content": content}
