"""Reads an action out of what a chat model wrote, and writes actions the way they are read."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envs.base import normalise
from harness.config.model import Answer

CLOSED_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
TAGGED = re.compile(r"<action>(.*?)(</action>|\Z)", re.DOTALL | re.IGNORECASE)
ACTION_LINE = re.compile(
    r"^[ \t]*Action:(.*?)(?=^[ \t]*(?:Thought|Action|Observation):|\Z)", re.DOTALL | re.MULTILINE
)
LABEL = re.compile(r"^(your |my |the )?(next )?(action|answer)( is)?\s*:\s*", re.IGNORECASE)
NUMBER = re.compile(r"^\W*(\d+)\b")
HOW_TO_ANSWER = {
    Answer.open: "answer with exactly one action and nothing else",
    Answer.listed: "answer with exactly one of the listed actions, word by word, and nothing else",
    Answer.numbered: "answer with the number of one of the listed actions and nothing else",
    Answer.tagged: (
        "think inside <think> </think> tags as much as you need, then give exactly one action inside "
        "<action> </action> tags"
    ),
    Answer.react: (
        'write your reasoning in a line that begins with "Thought:", then exactly one action in a line that '
        'begins with "Action:"'
    ),
    Answer.tool_call: "call a function exactly once",
}
ACT: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "act",
        "description": "Take one action.",
        "parameters": {
            "type": "object",
            "properties": {"action": {"type": "string", "description": "The action."}},
            "required": ["action"],
        },
    },
}
"""What is called if an environment has no functions of its own."""


@dataclass(frozen=True)
class CallForm:
    """How a chat template writes a call: a JSON object with the function's name and its arguments."""

    opening: str
    """What stands before the object; may be empty."""
    closing: str
    """What stands after it; may be empty."""
    name_key: str
    arguments_key: str

    def write(self, name: str, arguments: object) -> str:
        """A call."""
        call = {self.name_key: name, self.arguments_key: arguments}
        return f"{self.opening}{json.dumps(call, ensure_ascii=False)}{self.closing}"

    def read(self, text: str) -> tuple[str, dict[str, Any]] | None:
        """The name and the arguments of the one call in `text`; None without one, or with several."""
        opening, closing = self.opening.strip(), self.closing.strip()
        _, found, rest = text.partition(opening) if opening else ("", "", text)
        if opening and (not found or opening in rest):
            return None
        try:
            call, end = json.JSONDecoder().raw_decode(rest.lstrip())
        except (ValueError, RecursionError):
            return None
        after = rest.lstrip()[end:].strip()
        if after != closing or not isinstance(call, dict):
            return None
        name, arguments = call.get(self.name_key), call.get(self.arguments_key)
        return (name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else None


@dataclass(frozen=True)
class Answers:
    """How a policy is asked to answer, and how its answers are read."""

    answer: Answer
    verbatim: bool = False
    """Whether actions keep their case and line breaks."""
    thinks: bool = False
    """Whether the prompt has already opened a thought, which the response goes on with."""
    call: CallForm | None = None
    """For `tool_call`."""
    own_tools: bool = False
    """Whether the environment has functions of its own: it then reads the call as JSON, and else the text
    that `act` is called with."""

    def read(self, text: str, admissible: Sequence[str] = ()) -> tuple[str, bool]:
        """The action, and whether the response is well formed. Thoughts are not part of an action.

        Nothing is guessed: what is not an action stays as it is, for the environment to refuse; an ill-formed
        response is an empty action. With `numbered`, a number that the line begins with means that admissible
        action, counted from 1.
        """
        said, whole = without_thoughts(text, self.thinks)
        if self.answer is Answer.tagged:
            return self._formed(TAGGED.findall(said) if whole else [])
        if self.answer is Answer.react:
            return self._formed([(action, "") for action in ACTION_LINE.findall(said)], closed=False)
        if self.answer is Answer.tool_call:
            return self._call(said)
        return self._plain(said, admissible), True

    def write(self, action: str, admissible: Sequence[str] = ()) -> str:
        """An action in the form that `read` reads."""
        if self.answer is Answer.numbered and action in admissible:
            return str(list(admissible).index(action) + 1)
        if self.answer is Answer.tagged:
            return f"<action>{action}</action>"
        if self.answer is Answer.react:
            return f"Action: {action}"
        if self.answer is Answer.tool_call:
            assert self.call is not None
            if not self.own_tools:
                return self.call.write("act", {"action": action})
            called = json.loads(action)
            return self.call.write(called["name"], called["arguments"])
        return action

    def _formed(self, found: Sequence[tuple[str, str]], closed: bool = True) -> tuple[str, bool]:
        """The one marked action, if there is exactly one and it is not empty."""
        if len(found) != 1 or not found[0][0].strip() or (closed and not found[0][1]):
            return "", False
        return self._words(found[0][0].strip()), True

    def _call(self, text: str) -> tuple[str, bool]:
        assert self.call is not None
        called = self.call.read(text)
        if called is None:
            return "", False
        name, arguments = called
        if self.own_tools:
            return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False), True
        action = arguments.get("action")
        if name != "act" or not isinstance(action, str) or not action.strip():
            return "", False
        return self._words(action.strip()), True

    def _plain(self, text: str, admissible: Sequence[str]) -> str:
        """The whole answer if it is free text, else its first line that is not empty."""
        tagged = TAGGED.search(text)
        text = (tagged[1] if tagged else text).strip()
        if self.verbatim and self.answer is Answer.open:
            return text
        lines = text.splitlines()
        line = LABEL.sub("", lines[0].strip()) if lines else ""
        number = NUMBER.match(line)
        if self.answer is Answer.numbered and number and 1 <= int(number[1]) <= len(admissible):
            return admissible[int(number[1]) - 1]
        return self._words(line.strip(" \t-*`'\".!"))

    def _words(self, text: str) -> str:
        return text if self.verbatim else normalise(text)


def without_thoughts(text: str, opened: bool) -> tuple[str, bool]:
    """A response less its thoughts, and whether the last thought was closed.

    `opened`: the prompt began a thought. One whose beginning the model left out begins with the response; one
    without an end is all that there is.
    """
    text = CLOSED_THOUGHT.sub("", f"<think>{text}" if opened else text)
    _, _, text = text.rpartition("</think>")
    said, unclosed, _ = text.partition("<think>")
    return said, not unclosed
