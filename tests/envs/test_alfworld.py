"""ALFWorld: the engine's own walks, generated games, official folders, state keys, bad input."""

import gzip
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("alfworld", reason="needs the extra alfworld")

from envs.alfworld import KINDS, AlfworldSpec, Games, HeldOut, State
from envs.alfworld.games import check_installed, generated, official, read, solve
from envs.base import Split, TaskSet, normalise
from harness.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "alfworld"
FIRST = next(iter(KINDS))
SMALL = AlfworldSpec(train_tasks=6, eval_tasks=6, receptacles=5, objects=3)


def engine(path: Path):
    from envs.alfworld.engine import AlfworldEngine

    return AlfworldEngine(str(path))


def original(path: Path):
    """The stack that `AlfredTWEnv` builds, by itself."""
    import textworld
    from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos
    from textworld.envs.pddl.pddl import PddlEnv

    infos = textworld.EnvInfos(won=True, admissible_commands=True, extras=["gamefile"])
    game = AlfredInfos(AlfredDemangler(PddlEnv(infos), shuffle=False))
    game.load(str(path))
    return game


@pytest.fixture(scope="module", autouse=True)
def _worker_that_lasts():
    """Worker processes end when no environment is left, and take seconds to start."""
    env = SMALL.make()
    env.reset(SMALL.training_panel()[0])
    yield
    env.close()


@pytest.fixture(scope="module")
def paths() -> list[Path]:
    """A game of each type."""
    return [Path(SMALL.game_name(task)) for task in SMALL.training_panel()]


def official_folder(root: Path, paths, splits=("train", "valid_seen", "valid_unseen")) -> None:
    """Games in the folders of ALFWorld's."""
    for number, path in enumerate(paths):
        folder = root / "json_2.1.1" / splits[number % len(splits)] / f"{FIRST}-{number}" / "trial"
        folder.mkdir(parents=True)
        shutil.copy(path, folder / "game.tw-pddl")


def forget() -> None:
    """As another process, which has read no game yet."""
    for remembered in (read, official, generated):
        remembered.cache_clear()


def golden(name: str):
    return json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))


@pytest.mark.parametrize("walk", golden("walks"), ids=lambda walk: walk["id"])
def test_the_walks_of_the_original_are_repeated(walk, tmp_path):
    """Recorded through AlfredTWEnv: texts, commands in their order, wins, invalid commands included."""
    import alfworld

    rules, game = Path(alfworld.__path__[0]) / "data", golden("games")[walk["game"]]
    data = {
        "pddl_domain": (rules / "alfred.pddl").read_text(),
        "grammar": (rules / "alfred.twl2").read_text().replace("UNKNOWN GOAL", game["goal"]),
        "pddl_problem": game["pddl_problem"],
    }
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps(data))
    playing = engine(path)
    for number, (action, text, commands, won) in enumerate(walk["steps"]):
        scene = playing.play(action) if number else playing.start()
        assert (scene.text, list(scene.commands), scene.won) == (text, commands, won)
    playing.close()


def test_the_engine_says_what_the_original_says(paths):
    """On games and ways that were never recorded, side by side, and again after beginning anew."""
    for number, path in enumerate(paths[:3]):
        mine, theirs, draw = engine(path), original(path), random.Random(number)
        for length in (12, 4):
            scene, state = mine.start(), theirs.reset()
            for _ in range(length):
                assert scene.text == state["feedback"]
                assert list(scene.commands) == state["admissible_commands"]
                assert scene.won == state["won"]
                action = draw.choice([*scene.commands, "Look", "put mug 1 in desk 1"])
                scene, (state, _, _) = mine.play(action), theirs.step(action)
        mine.close()


def test_what_is_not_possible_leaves_the_original_as_it_is(paths):
    """So that it need not hear it: the answer is the same, and so is all that comes after."""
    told, spared = original(paths[0]), original(paths[0])
    told.reset(), spared.reset()
    for action in read(paths[0]).solution:
        for nonsense in ("", "Go to the moon", "put mug 1 in desk 1"):
            state, _, _ = told.step(nonsense)
            assert state["feedback"] == "Nothing happens."
        assert told.step(action)[0]["feedback"] == spared.step(action)[0]["feedback"]
    assert told.state["won"]


@pytest.mark.parametrize("index", range(len(KINDS)))
def test_the_planner_wins_every_type(index):
    task, env = SMALL.training_panel()[index], SMALL.make()
    observation, info = env.reset(task)
    assert f"Your task is to: {task.goal}." in observation
    for action in SMALL.solution(task):
        assert action in info.admissible
        transition = env.step(action)
        info = transition.info
    assert transition.reward == 1
    assert transition.terminated
    assert info.success
    env.close()


def test_equal_keys_go_on_alike(paths):
    """Whatever the way to a state, the same command shows the same and leads to the same key: what a game
    remembers by key is what it would have answered."""
    seen: dict[tuple[str, str], tuple[object, ...]] = {}
    again = 0
    for number in range(24):
        game, draw = engine(paths[number % 6]), random.Random(number)
        scene = game.start()
        for _ in range(40):
            action = draw.choice(scene.commands)
            before, scene = (str(paths[number % 6]), scene.key, action), game.play(action)
            shown = (scene.text, scene.commands, scene.won, scene.key)
            again += before in seen
            assert seen.setdefault(before, shown) == shown
        game.close()
    assert again > 100, "the walks hardly met"


def test_a_key_tells_what_the_text_does_not(paths):
    """A lamp is on or off, a thing lies here or there: the answer to `look` is the same."""
    game = engine(paths[0])
    keys = [game.start().key]
    for action in read(paths[0]).solution:
        game.play(action)
        keys.append(game.play("inventory").key)
    assert len(set(keys)) == len(keys)
    assert game.play("help").key == keys[-1], "`checked` facts only note what was done"
    game.close()


def test_state_keys_are_dials():
    env, task = SMALL.make(), SMALL.training_panel()[0]
    finer = replace(SMALL, state=State.observation_and_actions).make()
    for each in (env, finer):
        each.reset(task)
        each.step("inventory")
    empty, fine = env.state_key, finer.state_key
    source = SMALL.solution(task)[0]
    for each in (env, finer):
        each.step(source)
        nothing = each.step("sing")
        assert nothing.observation == "Nothing happens."
        assert not nothing.info.valid
        each.step("inventory")
    assert env.state_key == empty
    assert finer.state_key != fine, "what can be done tells the two places apart"


def test_help_is_answered_and_not_listed():
    env = SMALL.make()
    _, info = env.reset(SMALL.training_panel()[0])
    assert "help" not in info.admissible
    transition = env.step("help")
    assert transition.info.valid
    assert "Available commands" in transition.observation


def test_the_vocabulary_holds_every_word():
    words = set(SMALL.vocabulary()) | {"sing"}
    for task in SMALL.training_panel():
        env, draw = SMALL.make(), random.Random(task.seed)
        observation, info = env.reset(task)
        said = [task.goal]
        for _ in range(30):
            said += [observation, *info.admissible]
            observation, *_, info = env.step(draw.choice([*info.admissible, "help", "sing"]))
        assert not {word for text in said for word in normalise(text).split()} - words


def test_games_are_the_same_in_every_process(tmp_path):
    script = "from envs.alfworld import AlfworldSpec\nAlfworldSpec(train_tasks=2, eval_tasks=2).check()"
    found = []
    for folder, seed in (("a", "0"), ("b", "4242")):
        where = {"CREDITBENCH_CACHE": str(tmp_path / folder), "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script], env={**os.environ, **where}, check=True)
        found.append({path.name: path.read_bytes() for path in (tmp_path / folder / "alfworld").iterdir()})
    assert found[0] == found[1]
    assert len([name for name in found[0] if name.endswith(".tw-pddl")]) == 2
    assert len(found[0]) > 2, "what was left out is noted"


def test_a_damaged_game_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDITBENCH_CACHE", str(tmp_path))
    spec = replace(SMALL, train_tasks=1, eval_tasks=1)
    (path,) = spec.files()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    forget()
    assert spec.files() == [path]
    assert path.read_bytes() == whole


def test_the_planner_says_when_there_is_no_way(paths):
    data = json.loads(paths[0].read_text())
    data["pddl_problem"] = data["pddl_problem"].replace("pickupable", "moveable")
    arguments = list(sys.argv)
    assert solve(data) == []
    assert sys.argv == arguments


def test_official_games_are_listed_in_an_order_of_their_own(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    official_folder(tmp_path, [*paths, *paths, *paths])
    spec = AlfworldSpec(games=Games.official, train_tasks=3, eval_tasks=3, kinds=tuple(KINDS)[:1])
    first = [task.id.split(":")[2] for task in spec.training_panel()]
    assert first != sorted(first)
    assert all(name.startswith("train/") for name in first)
    unseen = replace(spec, split=Split.unseen)
    assert all("valid_unseen/" in task.id for task in unseen.evaluation_panel())
    seen = replace(unseen, held_out=HeldOut.seen)
    assert all("valid_seen/" in task.id for task in seen.evaluation_panel())
    assert len({each.panel_hash() for each in (spec, unseen, seen)}) == 3
    assert spec.label == "alfworld"
    env = spec.make()
    env.reset(spec.training_panel()[0])
    for action in spec.solution(spec.training_panel()[0]):
        last = env.step(action)
    assert last.info.success
    env.close()


def test_tuning_plays_the_other_end_of_the_official_games(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    official_folder(tmp_path, [*paths, paths[0]], splits=("train",))
    spec = AlfworldSpec(games=Games.official, train_tasks=3, eval_tasks=2, split=Split.unseen)
    tuning = replace(spec, kinds=tuple(KINDS)[:1], tasks=TaskSet.tuning, train_tasks=2)
    panels = [
        *tuning.training_panel(),
        *tuning.evaluation_panel(),
        *replace(tuning, tasks=TaskSet.comparison).training_panel(),
    ]
    assert len({task.id for task in panels}) == 6
    with pytest.raises(UserError, match="needs more than the 7 games"):
        replace(tuning, train_tasks=3).training_panel()


def test_changed_games_change_the_panel(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    official_folder(tmp_path, paths[:1])
    spec = AlfworldSpec(games=Games.official, train_tasks=1, eval_tasks=1)
    before, (path,) = spec.panel_hash(), spec.files()
    path.write_text(path.read_text().replace("You arrive at", "You come to"))
    forget()
    assert spec.panel_hash() != before


@pytest.mark.parametrize(
    ("made", "asked", "line"),
    [
        ((), {}, r"there is no folder .*json_2\.1\.1: run alfworld-download, set ALFWORLD_DATA"),
        (("train",), {"split": Split.unseen}, r"has no split valid_unseen, but train: run alfworld-download"),
        (("train", "valid_unseen"), {"train_tasks": 9}, r"env\.train_tasks=9 needs more than the 6 games in"),
    ],
)
def test_official_games_that_are_not_there(made, asked, line, paths, tmp_path, monkeypatch):
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    for split in made:
        official_folder(tmp_path, paths, splits=(split,))
    spec = AlfworldSpec(**{"games": Games.official, "train_tasks": 1, "eval_tasks": 1, **asked})
    with pytest.raises(UserError, match=line) as raised:
        spec.check()
    assert "\n" not in str(raised.value)


def test_games_that_nobody_can_solve_are_none(paths, tmp_path, monkeypatch):
    """`solvable: null` is what alfworld writes before a planner is asked; its loader leaves them out."""
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path))
    official_folder(tmp_path, paths, splits=("train",))
    for path in tmp_path.rglob("game.tw-pddl"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "solvable": None}))
    with pytest.raises(UserError, match=r"no game in .* is known to be solvable: run alfworld-download"):
        AlfworldSpec(games=Games.official, train_tasks=1, eval_tasks=1).check()


def test_without_the_package_a_line_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'creditbench\[alfworld\]'"):
        check_installed()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"kinds": ("dance",)}, "must name some of pick_and_place_simple"),
        ({"kinds": ()}, "must name some of"),
        ({"horizon": 7}, "env.horizon=7 is too short for pick_two_obj_and_place, which takes 8 commands"),
        ({"max_action_tokens": 6}, "must be above 6"),
        ({"receptacles": 3}, "env.receptacles=3 must be at least 4"),
        ({"objects": -1}, "env.objects=-1 must be at least 0"),
    ],
)
def test_bad_options(options, line):
    with pytest.raises(UserError, match=line):
        AlfworldSpec(**options)


def test_numbers_of_generated_games_are_called_so():
    assert SMALL.label == "ALFWorld engine, generated games"
