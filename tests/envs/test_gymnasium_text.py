"""Adapted text environments: wins, pay, keys, dice, and the packages of docs/adapting-an-environment.md."""

import json
import random

import pytest

from envs.gymnasium_text.textarena import SinglePlayer
from harness.errors import UserError
from tests.conftest import need_modules
from tests.envs.steps import Climb, ClimbSpec, Dense, Free, Graded

STEPS_UP = ["up"] * 4


@pytest.fixture
def started():
    """Environments at the start of a task, closed after the test."""
    made = []

    def start(spec, index=0):
        made.append(spec.make())
        made[-1].reset(spec.training_panel()[index])
        return made[-1]

    yield start
    for environment in made:
        environment.close()


def climb(environment, *actions):
    return [environment.step(action) for action in actions]


def test_a_win_is_what_is_declared_and_ends_the_episode(started):
    steps = climb(started(ClimbSpec()), *STEPS_UP)
    assert [step.terminated for step in steps] == [False, False, False, True]
    assert [step.info.success for step in steps] == [False, False, False, True]
    assert [step.reward for step in steps] == [0, 0, 0, 1]


def fall(environment):
    """Climb until the end, far; whether it was a fall, and the last step."""
    while True:
        step = environment.step("far")
        if step.terminated:
            return "fallen" in step.observation, step


def test_pay_for_a_near_miss_is_no_success(started):
    for index in range(8):
        fallen, step = fall(started(ClimbSpec(height=3), index))
        if fallen:
            break
    assert fallen
    assert (step.info.success, step.reward) == (False, 0)
    _, step = fall(started(Dense(height=3), index))
    assert (step.info.success, step.reward) == (False, 0.75)


def test_dense_and_graded_pay(started, monkeypatch):
    steps = climb(started(Dense()), "up", "sideways", "up")
    assert [(step.reward, step.info.valid) for step in steps] == [(0, True), (0, False), (0, True)]
    steps = climb(started(Graded(horizon=3)), "up", "up", "sideways")
    assert [step.info.score for step in steps] == [0.25, 0.5, 0.5]
    assert [step.reward for step in steps] == [0, 0, 0.5], "the score, when the steps are used up"
    monkeypatch.setattr(Dense, "reward_range", (0.0, 0.5))
    with pytest.raises(ValueError, match=r"it paid 1, and reward_range is 0 to 0\.5"):
        climb(started(Dense(height=1)), "up")


def test_free_text_reaches_the_game_and_nothing_is_listed(started):
    spec = Free()
    assert spec.make().reset(spec.training_panel()[0])[1].admissible == ()
    seen = climb(started(spec), "sideways", *STEPS_UP)
    assert seen[0].info.valid
    assert seen[0].observation.startswith("at 0")
    assert seen[-1].info.success


def test_nothing_is_played_after_the_end():
    engine = Climb(ClimbSpec().game_name(ClimbSpec().training_panel()[0]))
    engine.start()
    for action in STEPS_UP:
        last = engine.play(action)
    assert engine.play("up") == last
    assert engine.env.at == 4


def test_games_in_turn_throw_the_dice_that_they_throw_alone(started):
    outside = random.getstate()
    alone = [climb(started(ClimbSpec(height=9), index), *["far"] * 4) for index in range(2)]
    both = [started(ClimbSpec(height=9), index) for index in range(2)]
    together = [[], []]
    for _ in range(4):
        for index in (1, 0):
            together[index] += climb(both[index], "far")
    assert together == alone
    assert len({step.observation for steps in alone for step in steps}) == 8
    assert random.getstate() == outside


def test_all_actions_so_far_are_the_key(started):
    one, other = started(ClimbSpec()), started(ClimbSpec())
    assert one.state_key == other.state_key
    climb(one, "up", "far")
    climb(other, "far", "up")
    assert one.state_key != other.state_key
    climb(other, "sideways")
    twin = other.copy()
    assert [step.info.state_key for step in climb(twin, "up")] == [
        step.info.state_key for step in climb(other, "up")
    ]


def test_the_recipe_is_the_games_name():
    spec = ClimbSpec(height=5)
    tasks = [spec.task(stream, index) for stream in ("train", "eval") for index in range(20)]
    recipes = [json.loads(spec.game_name(task)) for task in tasks]
    assert {recipe["makes"] for recipe in recipes} == {"tests.envs.steps:Steps"}
    assert all(recipe["arguments"] == {"height": 5} for recipe in recipes)
    assert len({recipe["seed"] for recipe in recipes}) == len(tasks)
    assert all(0 <= recipe["seed"] < 2**31 for recipe in recipes)


def test_a_missing_package_is_one_line():
    class Elsewhere(ClimbSpec):
        needs = ("json", "no_such_module")
        install = "pip install no-such"

    with pytest.raises(UserError, match=r"^env=climb needs no_such_module: pip install no-such$"):
        Elsewhere().check()
    ClimbSpec().check()


def test_textarenas_games_have_gymnasiums_interface():
    """FrozenLake: each text once, the player's own left out; a fall pays for the way, a win 1."""
    need_modules("textarena")
    game = SinglePlayer("FrozenLake-v0", num_holes=1)
    first, _ = game.reset(seed=3)
    assert first.startswith("Welcome to Frozen Lake!")
    grid = game.state.game_state["grid"]
    path = way(grid)
    for number, action in enumerate(path):
        text, reward, terminated, truncated, info = game.step(f"[{action}]")
        assert "Welcome" not in text, "the transcript is not repeated"
        assert f"[{action}]" not in text.split("Available")[0]
        assert (terminated, truncated) == (number == len(path) - 1, False)
    assert reward == 1
    assert info["reason"] == "Congratulations! You reached the goal!"
    text, reward, terminated, _, info = fallen(3)
    assert terminated
    assert 0 < reward < 1, "which is why a reward is no success"
    assert "fell into a hole" in info["reason"]


MOVES = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}


def way(grid, goal="G", start=(0, 0)) -> list[str]:
    """The shortest way to a square of this kind that touches no hole before."""
    queue, seen = [(start, [])], {start}
    for (row, column), path in queue:
        for name, (down, right) in MOVES.items():
            to = row + down, column + right
            if to in seen or not all(0 <= each < len(grid) for each in to):
                continue
            if grid[to[0]][to[1]] == goal:
                return [*path, name]
            if grid[to[0]][to[1]] != "H":
                seen.add(to)
                queue.append((to, [*path, name]))
    raise AssertionError("there is no way")


def fallen(seed: int):
    """The last step of a way into a hole."""
    game = SinglePlayer("FrozenLake-v0")
    game.reset(seed=seed)
    for action in way(game.state.game_state["grid"], "H"):
        last = game.step(f"[{action}]")
    return last
