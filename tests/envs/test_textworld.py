"""Real TextWorld games: made once into a temporary cache, played for real."""

import json
import multiprocessing
import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from envs.base import Split, Task, TaskSet, Transition, normalise
from envs.textworld import TextWorld, TextWorldSpec, games, shared_story, story
from envs.textworld.games import Recipe, intact, library, load
from envs.textworld.story import State, Story
from envs.textworld.zmachine import movable, piles
from harness.errors import UserError

# TextWorld silences this at its import; pytest shows it again.
pytestmark = pytest.mark.filterwarnings("ignore:Game '.*' is not fully supported")

SPEC = TextWorldSpec(train_tasks=2, eval_tasks=2)


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CREDITBENCH_CACHE", str(tmp_path_factory.mktemp("games")))
        yield


@pytest.fixture(scope="module")
def tasks(_cache: None) -> list[Task]:
    return SPEC.training_panel()


def solution(task: Task) -> list[str]:
    data = json.loads(SPEC.game(task).story.with_suffix(".json").read_text())
    return list(data["metadata"]["walkthrough"])


def walkthrough(task: Task) -> list[str]:
    return [normalise(command) for command in solution(task)]


def play(task: Task, actions: list[str]) -> list[Transition]:
    environment = SPEC.make()
    environment.reset(task)
    steps = [environment.step(action) for action in actions]
    environment.close()
    return steps


def wander(task: Task, seed: int, junk: float = 0.2) -> list[str]:
    draw = random.Random(seed)
    environment = SPEC.make()
    _, info = environment.reset(task)
    actions, over = [], False
    while not over:
        actions.append("xyzzy" if draw.random() < junk else draw.choice(info.admissible))
        _, _, terminated, truncated, info = environment.step(actions[-1])
        over = terminated or truncated
    environment.close()
    return actions


Look = tuple[str, str, str, dict[str, str], bool]
"""A reply, and a state's key, view, actions and whether it is won."""


class Plain:
    """A game as TextWorld plays it: each command sequence from the start, in one go."""

    def __init__(self, task: Task) -> None:
        path = SPEC.game(task).story
        infos = library().EnvInfos(
            description=True, inventory=True, admissible_commands=True, facts=True, won=True
        )
        self.game = library().start(str(path), infos)
        self._things = movable(path.read_bytes())

    def looks(self, commands: list[str]) -> list[Look]:
        """What is shown after each of the commands."""
        self.game.reset()
        return [self._look(self.game.step(command)[0]) for command in commands]

    def _look(self, shown: Any) -> Look:
        view = normalise(f"{shown.inventory} {shown.description}")
        order = piles(self.game.unwrapped._jericho.get_state()[0], self._things)
        verbs = ("examine", "look", "inventory")
        listed = [each for each in shown.admissible_commands if each.split()[0] not in verbs]
        key = story._key(view, shown, order)
        return story._reply(shown), key, view, {normalise(each): each for each in listed}, bool(shown.won)


def looks(game: Story, commands: list[str]) -> list[Look]:
    """As `Plain.looks`, of a story."""
    state, shown = game.start, []
    for command in commands:
        frame = game.follow(state, command)
        state = frame.state
        shown.append((frame.reply, state.key, state.view, state.actions, state.won))
    return shown


def walk(game: Story, seed: int) -> list[str]:
    """Commands of random play, to the end of an episode."""
    draw, state, commands = random.Random(seed), game.start, []
    while len(commands) < SPEC.horizon and not state.won:
        commands.append(draw.choice(sorted(state.actions.values())))
        state = game.follow(state, commands[-1]).state
    return commands


def test_the_walkthrough_wins_in_time(tasks: list[Task]) -> None:
    for task in tasks:
        steps = play(task, walkthrough(task))
        assert len(steps) <= SPEC.horizon
        assert all(step.info.valid for step in steps)
        assert [step.reward for step in steps] == [0.0] * (len(steps) - 1) + [1.0]
        assert (steps[-1].terminated, steps[-1].truncated, steps[-1].info.success) == (True, False, True)


def test_the_goal_is_the_last_command_and_nothing_else_leaks(tasks: list[Task]) -> None:
    for task in tasks:
        *way, last = walkthrough(task)
        assert task.goal.startswith(last)
        environment = SPEC.make()
        observation, _ = environment.reset(task)
        shown = [
            observation,
            *(step.observation for seed in range(3) for step in play(task, wander(task, seed))),
        ]
        text = "\n".join([task.goal, *shown])
        assert not [command for command in way if command in text]
        assert not [step for step in shown if last in step]
        environment.close()


def test_a_state_goes_on_alike_whatever_came_before(tasks: list[Task]) -> None:
    """A story goes on from states that were reached on other ways; TextWorld plays each way from the start.

    In TextWorld's own play, too, a key and a command decide the reply and what follows.
    """
    for task in tasks:
        remembering, plain = Story(SPEC.game(task).story), Plain(task)
        following: dict[tuple[str, str], Look] = {}
        met = 0
        for commands in [solution(task), *(walk(remembering, seed) for seed in range(8))]:
            shown, key = plain.looks(commands), remembering.start.key
            assert looks(remembering, commands) == shown
            for command, look in zip(commands, shown, strict=True):
                met += (key, command) in following
                assert following.setdefault((key, command), look) == look
                key = look[1]
        assert met > 20
        assert looks(remembering, solution(task))[-1][-1]
        plain.game.close()


def test_a_story_that_forgets_goes_on(tasks: list[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    remembering, forgetful = Story(SPEC.game(tasks[0]).story), Story(SPEC.game(tasks[0]).story)
    ways = [walk(remembering, seed) for seed in range(8)]
    assert held(remembering.start) > 10
    monkeypatch.setattr(story, "MEMORY_LIMIT", 5)
    for commands in ways:
        assert looks(forgetful, commands) == looks(remembering, commands)
        assert len(forgetful._states) <= 5
        assert held(forgetful.start) <= 5


def held(state: State) -> int:
    """How many states come after one, as far as they are remembered."""
    found, waiting = {id(state): state}, [state]
    while waiting:
        for frame in waiting.pop().after.values():
            if id(frame.state) not in found:
                found[id(frame.state)] = frame.state
                waiting.append(frame.state)
    return len(found) - 1


def test_episodes_in_threads_do_not_disturb_each_other(tasks: list[Task]) -> None:
    ways = [wander(tasks[0], seed) for seed in range(8)]
    alone = [play(tasks[0], way) for way in ways]
    shared_story.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(partial(play, tasks[0]), ways)) == alone


def test_interleaved_episodes_do_not_disturb_each_other(tasks: list[Task]) -> None:
    task = tasks[0]
    first, second = wander(task, seed=5), wander(task, seed=6)
    one, other = SPEC.make(), SPEC.make()
    one.reset(task)
    other.reset(task)
    mixed = [(one.step(a), other.step(b)) for a, b in zip(first, second, strict=False)]
    assert [step for step, _ in mixed] == play(task, first)[: len(mixed)]
    assert [step for _, step in mixed] == play(task, second)[: len(mixed)]
    one.close()
    other.close()


def test_an_environment_goes_from_game_to_game(tasks: list[Task]) -> None:
    environment = SPEC.make()
    starts = [environment.reset(task) for task in [*tasks, *tasks]]
    assert starts[:2] == starts[2:]
    assert starts[0] != starts[1]
    environment.close()


def test_the_order_of_things_out_of_sight_is_part_of_the_key() -> None:
    """A game lists the last thing that was put down first: on coming back, the policy reads the order."""
    task, environment = TextWorldSpec().task("train", 2), SPEC.make()
    keys, seen = [], []
    for first, second in (("keycard", "legume"), ("legume", "keycard")):
        environment.reset(task)
        for action in (f"drop {first}", f"drop {second}"):
            environment.step(action)
        here = environment.state_key
        away, back = environment.step("go north"), environment.step("go south")
        keys.append(away.info.state_key)
        seen.append(back.observation)
        assert away.info.valid
        assert environment.state_key == here
    environment.close()
    assert seen[0] != seen[1]
    assert keys[0] != keys[1]


def test_things_are_known_from_the_story_file(tasks: list[Task]) -> None:
    """As many portable things as the game's own data have."""
    for task in tasks:
        path = SPEC.game(task).story
        kinds = [info["type"] for _, info in json.loads(path.with_suffix(".json").read_text())["infos"]]
        assert len(movable(path.read_bytes())) == sum(kind in ("o", "f", "k") for kind in kinds) > 0


def test_coming_back_to_a_state_comes_back_to_its_key(tasks: list[Task]) -> None:
    task = next(task for task in tasks if any("go" in action for action in walkthrough(task)))
    back = {"north": "south", "south": "north", "east": "west", "west": "east"}
    environment = SPEC.make()
    _, info = environment.reset(task)
    start = info
    way = next(action for action in info.admissible if action.startswith("go")).split()[1]
    away = environment.step(f"go {way}").info
    again = environment.step(f"go {back[way]}").info
    assert (again.state_key, again.admissible) == (start.state_key, start.admissible)
    assert away.state_key != start.state_key
    environment.close()


@pytest.mark.parametrize(
    "action", ["", "xyzzy", "undo", "quit", "restart", "look", "inventory", "wait", "go go"]
)
def test_an_invalid_action_costs_a_step_and_changes_nothing(tasks: list[Task], action: str) -> None:
    environment = SPEC.make()
    observation, info = environment.reset(tasks[0])
    for number in range(1, SPEC.horizon + 1):
        after = environment.step(action)
        assert after.observation == f"you can ' t do that . {observation}"
        assert not after.info.valid
        assert (after.info.state_key, after.info.admissible) == (info.state_key, info.admissible)
        assert (after.reward, after.terminated, after.truncated) == (0.0, False, number == SPEC.horizon)
    environment.close()


def test_words_and_lengths_are_announced(tasks: list[Task]) -> None:
    words = SPEC.vocabulary()
    assert len(set(words)) == len(words)
    for task in tasks:
        steps = [step for seed in range(8) for step in play(task, wander(task, seed))]
        texts = [task.goal, *walkthrough(task), *(step.observation for step in steps if not step.terminated)]
        actions = [action for step in steps for action in step.info.admissible]
        assert {word for text in texts + actions for word in text.split()} <= set(words)
        assert max(len(action.split()) for action in actions) < SPEC.max_action_tokens


def test_nothing_is_printed(tasks: list[Task], capfd: pytest.CaptureFixture[str]) -> None:
    play(tasks[0], wander(tasks[0], seed=9))
    assert tuple(capfd.readouterr()) == ("", "")


def test_it_is_restored_by_replay_only(tasks: list[Task]) -> None:
    environment = SPEC.make()
    assert isinstance(environment, TextWorld)
    environment.reset(tasks[0])
    assert environment.copy() is None
    environment.close()


def small(seed: int) -> Recipe:
    return Recipe(rooms=2, objects=1, quest_length=2, seed=seed)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small game in a cache of its own."""
    game = load(small(1), 20, tmp_path_factory.mktemp("small"))
    assert game is not None
    return game.story


@pytest.mark.parametrize("suffix", [".z8", ".json"])
@pytest.mark.parametrize("content", [None, b"", b"\xff foreign", "torn", b"[]"])
def test_what_is_torn_foreign_or_missing_is_told_apart(
    made: Path, tmp_path: Path, suffix: str, content: bytes | str | None
) -> None:
    story = tmp_path / made.name
    for each in (".z8", ".json"):
        story.with_suffix(each).write_bytes(made.with_suffix(each).read_bytes())
    assert intact(story)
    broken = story.with_suffix(suffix)
    if content is None:
        broken.unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:-2000] if content == "torn" else bytes(content))
    assert not intact(story)


def test_another_games_files_are_told_apart(made: Path, tmp_path: Path) -> None:
    for suffix in (".z8", ".json"):
        (tmp_path / f"other{suffix}").write_bytes(made.with_suffix(suffix).read_bytes())
    assert not intact(tmp_path / "other.z8")


def test_a_torn_game_is_made_again(made: Path) -> None:
    whole = made.read_bytes()
    made.write_bytes(whole[:100_000])
    load.cache_clear()
    game = load(small(1), 20, made.parent)
    assert game is not None
    assert game.story == made
    assert made.read_bytes() == whole
    assert sorted(path.name for path in made.parent.iterdir()) == [made.with_suffix(".json").name, made.name]


def _load_small(folder: Path) -> tuple[str, int]:
    game = load(small(2), 20, folder)
    assert game is not None
    return game.goal, int(intact(game.story))


def test_two_processes_make_the_same_game_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        first, second = pool.map(_load_small, [tmp_path, tmp_path], chunksize=1)
    assert first == second
    assert first[1]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".z8"]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textworld", None)
    with pytest.raises(UserError, match=r"pip install 'creditbench\[textworld\]'"):
        TextWorldSpec().check()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="set CREDITBENCH_CACHE to a folder that can be written"):
        load(small(1), 20, tmp_path / "file" / "games")


def test_names_that_fit_two_things_are_refused() -> None:
    assert games._ambiguous(["box", "type C box", "key"])
    assert not games._ambiguous(["old box", "old key", "keycard"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rooms": 1}, "env.rooms=1 must be 2 to 10"),
        ({"objects": 0}, "env.objects=0 must be 1 to 10"),
        ({"quest_length": 16}, "env.quest_length=16 must be 1 to env.horizon=15"),
    ],
)
def test_bad_dials_are_refused_in_one_line(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        TextWorldSpec(**options)
    assert "\n" not in str(caught.value)


def test_games_whose_commands_do_not_fit_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.textworld.ATTEMPTS", 3)
    with pytest.raises(UserError, match=r"env.max_action_tokens=1: lower the quest's length or raise"):
        TextWorldSpec(rooms=2, objects=1, quest_length=1, max_action_tokens=1).task("train", 0)


def test_games_that_are_left_out_are_designed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every process, of a recipe that gives no game as of one whose commands are too long."""
    recipe = Recipe(rooms=2, objects=1, quest_length=1, seed=1)
    assert load(recipe, 1, tmp_path) is None
    assert not list(tmp_path.glob("*.z8"))
    designed: list[Recipe] = []
    monkeypatch.setattr(games, "_design", designed.append)
    load.cache_clear()
    assert load(recipe, 1, tmp_path) is None
    assert designed == []
    assert load(recipe, 9, tmp_path) is None, "with longer commands it might fit"
    load.cache_clear()
    assert load(recipe, 10, tmp_path) is None
    assert designed == [recipe], "that it gave no game is noted"
    (note,) = tmp_path.glob("*.left-out")
    note.write_text("damaged")
    load.cache_clear()
    assert load(recipe, 10, tmp_path) is None
    assert designed == [recipe, recipe], "a note that says nothing is no note"


def test_the_yaml_holds_the_defaults() -> None:
    path = Path(__file__).parents[2] / "sweeps" / "env" / "textworld.yaml"
    env = OmegaConf.to_container(OmegaConf.load(path).env)
    assert isinstance(env, dict)
    assert env.pop("_target_") == "envs.textworld.TextWorldSpec"
    assert list(env) == [field.name for field in fields(TextWorldSpec)]
    named = {"split": Split(env["split"]), "tasks": TaskSet(env["tasks"])}
    assert TextWorldSpec(**{**env, **named}) == TextWorldSpec()
