"""TextWorld games, made on this machine and cached under what they are made from."""

import functools
import hashlib
import json
import os
import re
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from envs.base import normalise
from harness.caches import read_note, write_note
from harness.errors import UserError

MARKUP = re.compile(r"\[[^]]*\]")
NARRATION = (
    "you are carrying : nothing . there is a an the some and , on in into from the floor -= =- "
    "pick up put drop take open close lock unlock eat ground revealing not bad "
    '" ."'
)
"""Words of TextWorld's listings and replies, which a game's own data lacks."""
STORY_HEADER = 64
NO_GAME = "no game"
"""What is noted of a recipe that gives none; of a game with longer commands, the words of the longest."""
FORMAT = 1
"""Part of every game's name: raise it when the same recipe gives another game or another goal."""


@dataclass(frozen=True)
class Recipe:
    """Everything that a game is made from, TextWorld's version aside."""

    rooms: int
    objects: int
    quest_length: int
    seed: int


@dataclass(frozen=True)
class Game:
    """A game on disk and what its data say about it."""

    story: Path
    """The compiled game; TextWorld expects its data beside it."""
    goal: str
    words: tuple[str, ...]
    """Every word of the goal, the observations and the commands."""


def library() -> Any:
    """The package `textworld`, imported late because it is an extra."""
    try:
        import textworld
    except ImportError as error:
        raise UserError("env=textworld needs an extra: pip install 'creditbench[textworld]'") from error
    return textworld


@functools.cache
def load(recipe: Recipe, longest: int, folder: Path) -> Game | None:
    """The game of a recipe, made first if need be.

    None if TextWorld finds no such quest, or names things badly, or some command is over `longest` words.
    """
    content = json.dumps([FORMAT, library().__version__, asdict(recipe)], sort_keys=True)
    story = folder / f"{hashlib.sha256(content.encode()).hexdigest()[:24]}.z8"
    # TextWorld takes seconds to design a game; those that are left out are designed once as well.
    note = story.with_suffix(".left-out")
    told = read_note(note)
    if told == NO_GAME or (told.isdecimal() and int(told) > longest):
        return None
    cached = intact(story)
    data = library().Game.load(str(story.with_suffix(".json"))) if cached else _design(recipe)
    if data is None:
        write_note(note, NO_GAME)
        return None
    commands = [normalise(each) for each in data.possible_admissible_commands if not retold(each)]
    if (words := max(len(command.split()) for command in commands)) > longest:
        write_note(note, str(words))
        return None
    if not cached:
        _store(data, story)
    return Game(story, data.objective, _words(data, commands))


def retold(command: str) -> bool:
    """Whether a command only tells what the observation already holds; such commands are never admissible."""
    return command.split()[0] in ("examine", "inventory", "look")


def intact(story: Path) -> bool:
    """Whether a game and its data were written to the end, and belong under this name."""
    try:
        code = story.read_bytes()
        data = json.loads(story.with_suffix(".json").read_text())
        named = data["metadata"]["uuid"] == story.stem
    except (OSError, ValueError, LookupError, TypeError):
        return False
    # The Z-machine's own test: the header holds the length in units of 8 bytes, and the sum of what follows.
    length, checksum = 8 * int.from_bytes(code[0x1A:0x1C], "big"), int.from_bytes(code[0x1C:0x1E], "big")
    body = code[STORY_HEADER:length]
    return bool(named) and len(body) == length - STORY_HEADER > 0 and sum(body) % 65536 == checksum


def _design(recipe: Recipe) -> Any:
    """TextWorld's data of a new game, or None if there is no such quest or a name fits two things."""
    options = library().GameOptions()
    options.seeds = recipe.seed
    options.nb_rooms = recipe.rooms
    options.nb_objects = recipe.objects
    options.quest_length = recipe.quest_length
    generator = library().generator
    try:
        data = generator.make_game(options)
    except generator.QuestGenerationError:
        return None
    if _ambiguous(data.entity_names):
        return None
    # TextWorld's objective spells the solution out, and the game's first screen prints it.
    data.objective = _goal(data)
    return data


def _store(data: Any, story: Path) -> None:
    """Compile a game and move it into the cache.

    Processes that make the same game at once write equal files, and each file is replaced at a stroke, so
    whichever is last does no harm.
    """
    data.metadata["uuid"] = story.stem
    options = library().GameOptions()
    try:
        story.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=story.parent) as scratch:
            options.path = str(Path(scratch) / story.name)
            library().generator.compile_game(data, options)
            for suffix in (".json", ".z8"):
                os.replace(Path(scratch) / f"{story.stem}{suffix}", story.with_suffix(suffix))
    except OSError as error:
        raise UserError(
            f"can't write TextWorld games to {story.parent} ({error.strerror}): "
            "set CREDITBENCH_CACHE to a folder that can be written"
        ) from error


def _ambiguous(names: list[str]) -> bool:
    """Whether one thing's name fits another too (`box`, `old box`): the game would ask which one is meant."""
    words = [set(name.lower().split()) for name in names]
    return any(one <= other for one in words for other in words if one is not other)


def _words(data: Any, commands: list[str]) -> tuple[str, ...]:
    descriptions = [MARKUP.sub(" ", info.desc or "") for info in data.infos.values() if info.type == "r"]
    texts = [data.objective, *commands, *data.entity_names, *descriptions, NARRATION]
    return tuple(sorted({word for text in texts for word in normalise(text).split()}))


def _goal(data: Any) -> str:
    """The last command of the quest and the room where it is given, if one is: what to reach, not how."""
    (quest,) = data.quests
    final = quest.win_events[0].actions[-1]
    names = {id: info.name for id, info in data.infos.items()}
    where = [names[fact.names[1]] for fact in final.preconditions if fact.signature.types == ("P", "r")]
    return normalise(" in ".join([final.format_command(names), *where]))
