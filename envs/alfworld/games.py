"""Games as files: ALFWorld's own where the user has them, and generated ones, made once and kept.

Both are `game.tw-pddl` files: the rules, the grammar and the room. What generated ones are made from is
`envs/alfworld/rooms.py`; a game is kept only if ALFWorld's planner solves it.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envs.alfworld.rooms import Recipe, design
from envs.base import normalise
from harness.caches import read_note, write_note, write_whole
from harness.errors import UserError

FORMAT = 1
"""Part of every generated game's name: raise it when the same recipe gives another game."""
PACKAGES = ("alfworld", "textworld", "fast_downward_textworld")
"""What plays the games, and decides what is shown."""
GOAL = re.compile(r"Your task is to: (.*?)\.\s*\"")
SAID = re.compile(r"\"rhs\": \"(.*)\"|template :: \"(.*)\"|(Nothing happens\.)")
"""Texts of a grammar."""
BLANK = re.compile(r"\{[^}]*\}|#[^#]*#|\\n")
"""What a text leaves open."""
THING = re.compile(r"^\s*(\S+)\s+-\s+(?:object|receptacle)\s*$", re.MULTILINE)
NOTHING = "Nothing happens. a"
"""Words that the grammar lacks: an answer of TextWorld, and its article."""


@dataclass(frozen=True)
class Game:
    """A game file and what it says."""

    path: Path
    goal: str
    words: tuple[str, ...]
    """Every word of the goal, the observations and the commands."""
    solution: tuple[str, ...]
    """The planner's commands; empty if the file has none."""
    digest: str
    """Of the file's content: its rules, grammar and room."""


def check_installed() -> None:
    """Raise `UserError` without alfworld, or without its text engine's parts."""
    if not all(importlib.util.find_spec(name) for name in ("alfworld", "textworld", "fast_downward")):
        raise UserError("env=alfworld needs an extra: pip install 'creditbench[alfworld]'")


@functools.cache
def engine_version() -> str:
    """The versions of the packages that play."""
    check_installed()
    return "-".join(f"{name}-{importlib.metadata.version(name)}" for name in PACKAGES)


@functools.cache
def read(path: Path) -> Game | None:
    """The game of a file; None if it is no game, or not known to be solvable."""
    try:
        content = path.read_bytes()
        data = json.loads(content)
        grammar, problem, solvable = data["grammar"], data["pddl_problem"], data["solvable"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    goal = GOAL.search(grammar)
    if not solvable or goal is None:
        return None
    words = {word for text in texts(grammar, problem) for word in normalise(text).split()}
    solution = tuple(data.get("walkthrough") or ())
    return Game(path, goal[1], tuple(sorted(words)), solution, hashlib.sha256(content).hexdigest()[:12])


def texts(grammar: str, problem: str) -> Iterator[str]:
    """All that a game can say, in parts."""
    yield NOTHING
    for found in SAID.findall(grammar):
        yield BLANK.sub(" ", " ".join(found)).replace("[", " ").replace("]", " ")
    counts: dict[str, int] = {}
    for thing in THING.findall(problem):
        name = thing.split("_bar_")[0] + ("basin" if "basin" in thing.lower() else "")
        counts[name] = counts.get(name, 0) + 1
        yield f"{name} {counts[name]}"


@functools.cache
def official(folder: Path, kinds: tuple[str, ...]) -> tuple[Game, ...]:
    """The solvable games of these task types in a folder, in an order of their own: by a hash of names.

    The file system has none, and by name all games of one type come first. Games with sliced or movable
    receptacles are left out, as alfworld's own loader does.
    """
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("game.tw-pddl")]
    kept = [name for name in names if "movable" not in name and "Sliced" not in name]
    kept = [name for name in kept if name.split("-")[0] in kinds]
    kept.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return tuple(game for game in (read(folder / name) for name in kept) if game)


@functools.cache
def generated(recipe: Recipe, folder: Path) -> Game | None:
    """The game of a recipe, made first if need be; None if there is none, or the planner can't solve it."""
    content = json.dumps([FORMAT, engine_version(), asdict(recipe)], sort_keys=True)
    path = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.tw-pddl"
    if read(path) is None:
        note = path.with_suffix(".left-out")
        if read_note(note):
            return None
        read.cache_clear()
        data = make(recipe)
        if data is None:
            write_note(note, "no game, or none that the planner can solve")
            return None
        write(path, json.dumps(data))
    return read(path)


def make(recipe: Recipe) -> dict[str, Any] | None:
    """The content of a game file."""
    found = design(recipe)
    if found is None:
        return None
    import alfworld

    rules = Path(alfworld.__path__[0]) / "data"
    grammar = (rules / "alfred.twl2").read_text().replace("UNKNOWN GOAL", found.goal)
    data = {
        "pddl_domain": (rules / "alfred.pddl").read_text(),
        "grammar": grammar,
        "pddl_problem": found.problem,
    }
    solution = solve(data)
    return {**data, "solvable": True, "walkthrough": solution} if solution else None


def solve(data: dict[str, str]) -> list[str]:
    """The planner's commands from the start; none if there is no way."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
    from textworld.envs.pddl.pddl import PddlEnv

    arguments = list(sys.argv)
    try:
        game = PddlEnv(textworld.EnvInfos())
        AlfredDemangler(game, shuffle=False).load(data)
        return list(game._pddl_state.replan(game._entity_infos))
    except KeyError:
        return []  # what Fast Downward makes of a goal that no action leads to, TextWorld can't read
    finally:
        sys.argv[:] = arguments  # Fast Downward's translator puts its own there


def write(path: Path, text: str) -> None:
    """Write a game. Processes that make the same game at once write equal files."""
    try:
        write_whole(path, text)
    except OSError as error:
        raise UserError(
            f"can't write ALFWorld games to {path.parent} ({error.strerror}): "
            "set CREDITBENCH_CACHE to a folder that can be written"
        ) from error
