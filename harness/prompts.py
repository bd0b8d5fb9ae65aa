"""`python -m harness.prompts FOLDER`: prompt presets with the published words, from a copy of a repository.

The presets of sweeps/prompt/ have the published parts, order, history and lists in words of our own. FOLDER
is a copy of verl-agent (or a fork of it, such as G2PO) or of StepPO; for each preset whose prompts it has,
this writes sweeps/prompt/NAME_exact.yaml with their words. The files are read, never run. Exit
codes: 0 done, 2 bad input.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.compose.composing import CONFIG_DIR
from harness.errors import UserError
from harness.store.checksums import file_hash
from harness.terminal import command, show

USAGE = "python -m harness.prompts FOLDER"
PRESETS = CONFIG_DIR / "prompt"
SUFFIX = "_exact"
NAMES = {
    **{"task_description": "goal", "task_text": "goal", "instruction": "goal"},
    **{"current_observation": "observation", "observation": "observation"},
    **{"admissible_actions": "actions", "available_actions": "actions", "admissible_commands": "actions"},
    **{"action_history": "past", "history_actions": "past", "history_length": "shown"},
    **{"step_count": "taken", "current_step": "step"},
}
"""Published placeholders, and ours for the same."""
CALLED = {"`env_step`": "`act`", "env_step tool": "act tool", "`command`": "`action`"}
"""What is called to act, there and here."""


@dataclass(frozen=True)
class Published:
    """Where a preset's words are published."""

    preset: str
    file: str
    turn: str
    """The name of the constant with the message of a step."""
    first: str = ""
    """That of the first step; empty: the same, and its history is `None`."""
    system: str = ""
    """That of the system message; empty: there is none."""


VERL_AGENT, STEPPO = "agent_system/environments/prompts", "recipe"
PUBLISHED = (
    Published(
        "verl_agent_alfworld", f"{VERL_AGENT}/alfworld.py", "ALFWORLD_TEMPLATE", "ALFWORLD_TEMPLATE_NO_HIS"
    ),
    Published(
        "verl_agent_webshop", f"{VERL_AGENT}/webshop.py", "WEBSHOP_TEMPLATE", "WEBSHOP_TEMPLATE_NO_HIS"
    ),
    Published(
        "steppo_alfworld",
        f"{STEPPO}/alfworld/prompts.py",
        "ALFWORLD_USER_PROMPT",
        system="ALFWORLD_SYSTEM_PROMPT",
    ),
    Published(
        "steppo_webshop",
        f"{STEPPO}/webshop/prompts.py",
        "WEBSHOP_USER_PROMPT",
        system="WEBSHOP_SYSTEM_PROMPT",
    ),
)


@command("harness.prompts")
def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    match list(arguments):
        case ["--help" | "-h"]:
            show(f"{USAGE}\n\n{__doc__}")
        case [folder]:
            for line in written(Path(folder), PRESETS):
                show(line)
        case _:
            raise UserError(f"name one folder: {USAGE}")
    return 0


def written(folder: Path, presets: Path) -> Iterator[str]:
    """Write the presets whose words `folder` has, a line for each; raise `UserError` if it has none."""
    there = [each for each in PUBLISHED if (folder / each.file).is_file()]
    if not there:
        files = ", ".join(each.file for each in PUBLISHED)
        raise UserError(f"{folder} has none of {files}: name a copy of verl-agent or of StepPO")
    for each in there:
        source = folder / each.file
        base = yaml.safe_load((PRESETS / f"{each.preset}.yaml").read_text())
        name = f"{each.preset}{SUFFIX}"
        head = f"# From {each.file}, SHA-256 {file_hash(source)}, under the licence that it came with.\n"
        preset = {**base, **words(each, source), "name": name}
        text = yaml.safe_dump(preset, allow_unicode=True, sort_keys=False, width=10**6)
        (presets / f"{name}.yaml").write_text(head + text)
        yield f"prompt={name}"


def words(published: Published, source: Path) -> dict[str, str]:
    """The published words in our placeholders."""
    found = constants(source)
    if missing := [name for name in (published.turn, published.first, published.system) if name not in found]:
        raise UserError(f"{source} has no constant {missing[0]}: it is not the file that this reads")
    turn, first = found[published.turn], found[published.first]
    if not published.first:
        first = re.sub(r"\{history_actions\}", "None", turn)
    texts = {"system": found[published.system], "first": first, "turn": turn}
    return {option: renamed(text, source) for option, text in texts.items()}


def constants(source: Path) -> Mapping[str, str]:
    """The texts that a module of Python assigns to names; the empty name has the empty text."""
    try:
        body = ast.parse(source.read_text()).body
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{source} is not Python ({error}): name another copy") from error
    found = {"": ""}
    for statement in body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant(value=str(text))):
                found[name] = text
    return found


def renamed(text: str, source: Path) -> str:
    """The text with our placeholders, and our names of what is called."""
    for unknown in set(re.findall(r"\{(\w+)\}", text)) - set(NAMES):
        raise UserError(f"{source} has a placeholder {{{unknown}}} that nothing fills: name another copy")
    for theirs, ours in CALLED.items():
        text = text.replace(theirs, ours)
    return re.sub(r"\{(\w+)\}", lambda placeholder: f"{{{NAMES[placeholder[1]]}}}", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
