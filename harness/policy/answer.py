"""Reads an action out of what a chat model wrote."""

import re
from collections.abc import Sequence

from envs.base import normalise

THOUGHTS = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
TAGGED = re.compile(r"<action>(.*?)(</action>|\Z)", re.DOTALL | re.IGNORECASE)
LABEL = re.compile(r"^(your |my |the )?(next )?(action|answer)( is)?\s*:\s*", re.IGNORECASE)
NUMBER = re.compile(r"^\W*(\d+)\b")


def read_answer(text: str, admissible: Sequence[str] = (), *, numbered: bool = False) -> str:
    """The action in normalised words.

    Thoughts are skipped; an `<action>` tag counts before the first line that is not empty. With `numbered`, a
    number that the line begins with means that admissible action, counted from 1. Nothing else is guessed:
    what is no action stays as it is, for the environment to refuse.
    """
    text = THOUGHTS.sub("", text)
    tagged = TAGGED.search(text)
    lines = (tagged[1] if tagged else text).strip().splitlines()
    line = LABEL.sub("", lines[0].strip()) if lines else ""
    number = NUMBER.match(line)
    if numbered and number and 1 <= int(number[1]) <= len(admissible):
        return admissible[int(number[1]) - 1]
    return normalise(line.strip(" \t-*`'\".!"))
