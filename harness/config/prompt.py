"""The words around a task, as a named preset in the configuration: its text is part of a cell's name."""

from dataclasses import dataclass, fields
from typing import Any

from envs.frame import PAST_PLACEHOLDERS, PLACEHOLDER, PLACEHOLDERS, Frame, Layout
from harness.errors import UserError, require, suggest

OF_ENVIRONMENT = "environment"
"""The preset that leaves the words to the environment."""


@dataclass(frozen=True)
class PromptConfig:
    """What a policy that reads prose is told; see `envs/frame.py` for the placeholders in braces."""

    name: str = OF_ENVIRONMENT
    """The preset, as in `prompt=NAME`; `environment`: the environment's own words, and the options below must
    stay as they are."""
    system: str = ""
    """The system message; empty: none."""
    task: str = ""
    """What `{task}` stands for; nothing if a task has no goal."""
    first: str = ""
    """The message of the first step; empty: as `turn`."""
    turn: str = ""
    """The message of a step."""
    past: str = ""
    """A past turn in `{past}`, of `{observation}`, `{action}` and `{step}`; joined by line ends."""
    layout: Layout = Layout.conversation
    """`conversation`: a turn is a message, the policy's answers between them as they were sampled. `single`:
    each step is one message of its own, the past turns as text inside it."""
    how: str = ""
    """What `{how}` stands for; empty: the words of `model.answer`."""
    item: str = ""
    """One of the listed actions, of `{action}` and `{number}`; empty: as `model.answer` asks."""
    joiner: str = "\n"
    """What stands between listed actions."""

    def __post_init__(self) -> None:
        if self.name == OF_ENVIRONMENT:
            changed = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
            for option in changed:
                raise UserError(
                    f"prompt.{option} is set, but prompt=environment takes the environment's words: write a "
                    "preset of your own, sweeps/prompt/NAME.yaml, and choose it with prompt=NAME"
                )
            return
        require(bool(self.turn), f"prompt={self.name}: turn is empty: it must hold {{observation}}")
        known: dict[str, tuple[str, ...]] = {
            **dict.fromkeys(("system", "first", "turn"), PLACEHOLDERS),
            **{"task": ("goal",), "past": PAST_PLACEHOLDERS, "item": ("action", "number")},
        }
        for option, names in known.items():
            for found in PLACEHOLDER.findall(getattr(self, option)):
                if found not in names:
                    raise UserError(
                        f"prompt.{option}: {{{found}}} is not a placeholder{suggest(found, names)}"
                    )

    @property
    def frame(self) -> Frame | None:
        """The words; None for the environment's own."""
        if self.name == OF_ENVIRONMENT:
            return None
        options: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        del options["name"]
        return Frame(**options)
