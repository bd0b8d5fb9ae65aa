"""How a task is put into words for a policy that reads prose: system text, turns, a made-up example.

Templates hold `{placeholders}`; other braces stand for themselves.

{goal}          the task's goal
{task}          the frame's `task` text with the goal in it; nothing if a task has no goal
{how}           how to answer, see `Frame.how`
{observation}   what the environment shows
{actions}       the admissible actions, if the policy is shown a list
{step}          the number of the step, from 1
{taken}         how many steps were taken before it
{past}          the past turns that are shown (layout `single` alone)
{shown}         how many past turns those are
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
PLACEHOLDERS = ("goal", "task", "how", "observation", "actions", "step", "taken", "past", "shown")
PAST_PLACEHOLDERS = ("observation", "action", "step")


class Layout(Enum):
    """Where the past stands."""

    conversation = "conversation"
    """A turn is a message, and the policy's own answers stand between them as they were sampled."""
    single = "single"
    """Each step is one message of its own, the past turns as text inside it."""


@dataclass(frozen=True)
class Example:
    """A made-up turn of no task, which shows how to answer."""

    observation: str
    admissible: tuple[str, ...]
    chosen: str


@dataclass(frozen=True)
class Frame:
    """The words around a task."""

    system: str = "{task} {how}"
    """The system message; empty: none."""
    task: str = "Your task: {goal}."
    """What `{task}` stands for."""
    first: str = ""
    """The message of the first step; empty: as `turn`."""
    turn: str = "{observation}\n\n{actions}"
    """The message of a step. Without a list of actions, the blank that `{actions}` leaves at the end goes."""
    past: str = "{observation}\n{action}"
    """A past turn in `{past}`; they are joined by line ends."""
    layout: Layout = Layout.conversation
    how: str = ""
    """How to answer; empty: the words of `model.answer`."""
    item: str = ""
    """One of the listed `{actions}`, holding `{action}` and `{number}`; empty: as `model.answer` asks."""
    joiner: str = "\n"
    """What stands between listed actions."""
    examples: tuple[Example, ...] = ()
    """Turns before the first one, if `model.example` is set."""


TEXT_GAME = Frame(
    system="You play a text game.{task} Each turn, {how}.",
    task=" Your task: {goal}.",
    examples=(
        Example(
            "you are in a kitchen . you see a closed fridge .",
            ("go north", "open fridge", "take apple"),
            "open fridge",
        ),
        Example(
            "you open the fridge . you see an apple .",
            ("close fridge", "go north", "take apple"),
            "take apple",
        ),
    ),
)
"""For worlds that are played by commands."""


def fill(template: str, values: Mapping[str, object]) -> str:
    """The template with the placeholders that `values` names replaced."""
    return PLACEHOLDER.sub(lambda found: str(values.get(found[1], found[0])), template)
