"""Real TextWorld games: made once into a temporary cache, played for real."""

import json
import multiprocessing
import random
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from envs.base import Split, Task, TaskSet, Transition, normalise
from envs.textworld import TextWorld, TextWorldSpec, games
from envs.textworld.games import Recipe, intact, load
from envs.textworld.story import Memory, Story
from envs.textworld.zmachine import movable
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


def walkthrough(task: Task) -> list[str]:
    data = json.loads(SPEC.game(task).story.with_suffix(".json").read_text())
    return [normalise(command) for command in data["metadata"]["walkthrough"]]


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


def commands(task: Task, actions: list[str]) -> tuple[str, ...]:
    """The game's own commands for valid actions."""
    environment = SPEC.make()
    environment.reset(task)
    for action in actions:
        environment.step(action)
    environment.close()
    return environment._commands


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


def test_episodes_repeat_exactly_with_and_without_memory(tasks: list[Task]) -> None:
    for task in tasks:
        actions = wander(task, seed=0)
        assert play(task, actions) == play(task, actions)
        path, taken = SPEC.game(task).story, commands(task, actions)
        remembering, fresh = Story(path, Memory()), Story(path, Memory())
        for length in range(len(taken) + 1):
            assert remembering.frame(taken[:length]) == fresh.frame(taken[:length])
        late = Story(path, Memory())
        assert late.frame(taken) == fresh.frame(taken)
        assert late.frame(taken[:2]) == fresh.frame(taken[:2])
        for story in (remembering, fresh, late):
            story.close()


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


def test_equal_keys_mean_equal_states(tasks: list[Task]) -> None:
    """A key always comes with the same view and actions, and an action leads from it to the same key."""
    task = tasks[0]
    views: dict[str, tuple[str, tuple[str, ...]]] = {}
    following: dict[tuple[str, str], str] = {}
    for seed in range(12):
        environment = SPEC.make()
        _, info = environment.reset(task)
        for action in wander(task, seed, junk=0.0):
            key = info.state_key
            _, _, _, _, info = environment.step(action)
            view = environment._state.view
            assert views.setdefault(info.state_key, (view, info.admissible)) == (view, info.admissible)
            assert following.setdefault((key, action), info.state_key) == info.state_key
        environment.close()
    assert len(views) > 10


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


def test_the_yaml_holds_the_defaults() -> None:
    path = Path(__file__).parents[2] / "sweeps" / "env" / "textworld.yaml"
    env = OmegaConf.to_container(OmegaConf.load(path).env)
    assert isinstance(env, dict)
    assert env.pop("_target_") == "envs.textworld.TextWorldSpec"
    assert list(env) == [field.name for field in fields(TextWorldSpec)]
    named = {"split": Split(env["split"]), "tasks": TaskSet(env["tasks"])}
    assert TextWorldSpec(**{**env, **named}) == TextWorldSpec()
