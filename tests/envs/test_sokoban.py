"""Sokoban: levels that can be solved, the published rules, text and rewards, and what the dials do."""

import random
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from envs.base import Rewards, Split, Task, normalise
from envs.sokoban import ACTIONS, Sokoban, SokobanSpec
from envs.sokoban.level import Level, Position, Room
from harness.compose import compose_run
from harness.errors import UserError
from harness.policy.exact import INVALID, Situations
from harness.policy.text import Prompts

HALL = Room(
    size=5,
    floor=frozenset((row, column) for row in (1, 2, 3) for column in (1, 2, 3)),
    targets=frozenset({(2, 3), (3, 3)}),
)


def shortest(spec: SokobanSpec, index: int) -> int:
    """Moves of a shortest solution by blind search through `copy` and `step`: an oracle of its own."""
    start = spec.make()
    _, info = start.reset(spec.task("train", index))
    frontier, seen = [start], {info.state_key}
    for depth in range(1, spec.horizon + 1):
        following = []
        for env in frontier:
            for action in ACTIONS:
                after = env.copy()
                transition = after.step(action)
                if transition.info.success:
                    return depth
                if transition.info.state_key not in seen:
                    seen.add(transition.info.state_key)
                    following.append(after)
        frontier = following
    raise AssertionError("no solution within the horizon")


def standing(monkeypatch, spec: SokobanSpec, player: tuple[int, int], *boxes: tuple[int, int]) -> Sokoban:
    """An episode that starts there, in the hall."""
    level = Level(HALL, Position(player, frozenset(boxes)), ())
    monkeypatch.setattr(SokobanSpec, "level", lambda *_: level)
    env = spec.make()
    env.reset(Task("hall", 0))
    return env


def uniform(situations: Situations) -> NDArray[np.float64]:
    """The policy that draws among the four moves."""
    return np.array([0.0 if action == INVALID else 0.25 for _, action in situations.edge])


@pytest.mark.parametrize(
    "spec", [SokobanSpec(size=6, horizon=20), SokobanSpec(boxes=2)], ids=["one box", "two boxes"]
)
def test_every_task_is_solvable_and_its_solution_a_shortest_one(spec):
    for index, task in enumerate(spec.training_panel()):
        level, env = spec.level(task.seed), spec.make()
        env.reset(task)
        *others, last = [env.step(move) for move in level.solution]
        assert spec.least <= len(level.solution) == shortest(spec, index) <= spec.horizon
        assert not any(step.terminated or step.reward for step in others)
        assert (last.reward, last.terminated, last.info.success) == (1.0, True, True)


def test_a_larger_level_with_three_boxes_is_solved():
    spec = SokobanSpec(size=7, boxes=3, horizon=60, least=12, train_tasks=1, eval_tasks=1)
    (task,) = spec.training_panel()
    env = spec.make()
    env.reset(task)
    solution = spec.level(task.seed).solution
    assert len(solution) >= 12
    assert [env.step(move).info.success for move in solution] == [False] * (len(solution) - 1) + [True]


def test_the_board_is_drawn_in_the_published_signs(monkeypatch):
    env = standing(monkeypatch, SokobanSpec(boxes=2), (2, 1), (2, 2), (1, 2))
    seen = env.step("right").observation
    assert seen.splitlines() == ["# # # # #", "# _ X _ #", "# _ P √ #", "# _ _ O #", "# # # # #"]
    env = standing(monkeypatch, SokobanSpec(boxes=2), (2, 2), (1, 1), (1, 2))
    assert env.step("right").observation.splitlines()[2] == "# _ _ S #"


def test_boxes_are_pushed_one_at_a_time_and_not_into_walls(monkeypatch):
    for player, boxes, move in (
        ((2, 1), ((2, 2), (2, 3)), "right"),  # two boxes in a row
        ((2, 2), ((2, 1), (3, 1)), "left"),  # a box at the wall
        ((1, 1), ((2, 2), (3, 2)), "up"),  # a wall
    ):
        env = standing(monkeypatch, SokobanSpec(boxes=2), player, *boxes)
        before = env.state_key
        after = env.step(move)
        assert after.info.valid, "gym-sokoban answers a blocked move like any other"
        assert after.info.state_key == before


def test_dense_rewards_are_those_of_gym_sokoban(monkeypatch):
    """Worked by hand from its constants: -0.1 a step, +1 onto a target, -1 off it, +10 for all."""
    spec = SokobanSpec(boxes=2, rewards=Rewards.dense)
    env = standing(monkeypatch, spec, (2, 1), (2, 2), (1, 3))
    paid = [env.step(move).reward for move in ("right", "right", "left", "up", "right")]
    assert paid == pytest.approx([0.9, -0.1, -0.1, -0.1, -0.1])
    env = standing(monkeypatch, spec, (1, 3), (2, 3), (3, 1))
    assert env.step("down").reward == pytest.approx(-0.1), "from target to target nothing changes"
    env = standing(monkeypatch, spec, (2, 2), (2, 3), (3, 2))
    paid = [env.step(move).reward for move in ("left", "down", "right")]
    assert paid == pytest.approx([-0.1, -0.1, 10.9])
    env = standing(monkeypatch, spec, (3, 3), (2, 3), (3, 2))
    assert env.step("up").reward == pytest.approx(-1.1)
    assert spec.reward_range == (-1.1, 10.9)
    assert compose_run(["env=sokoban", "env.rewards=dense"]).env == SokobanSpec(rewards=Rewards.dense)


def test_what_the_policy_reads_is_the_whole_board():
    """Words and signs survive in the closed vocabulary, one token each, and name the state."""
    spec = SokobanSpec(boxes=2)
    prompts, draw, env = Prompts(spec), random.Random(0), spec.make()
    read: dict[tuple[int, ...], str] = {}
    for task in spec.training_panel():
        observation, info = env.reset(task)
        for _ in range(spec.horizon):
            words = normalise(observation).split()
            assert len(words) == spec.size**2
            assert set(words) | set(info.admissible) <= set(spec.vocabulary())
            ids = prompts.ids(observation)
            assert len(ids) == spec.size**2
            assert read.setdefault(ids, info.state_key) == info.state_key
            observation, _, terminated, truncated, info = env.step(draw.choice(info.admissible))
            if terminated or truncated:
                break
    assert len(set(read.values())) == len(read)


def test_its_situations_can_be_listed():
    spec = SokobanSpec()
    assert spec.enumerable
    assert not replace(spec, history=1).enumerable
    task = spec.training_panel()[0]
    situations = Situations.of(spec, task)
    values = situations.values(uniform(situations), spec.horizon)
    solution = spec.level(task.seed).solution
    within = values[:, 0] > 0
    assert [bool(each) for each in within] == [left >= len(solution) for left in range(spec.horizon + 1)]


def test_no_two_tasks_share_a_room():
    spec = SokobanSpec(split=Split.unseen)
    tasks = [*spec.training_panel(), *spec.evaluation_panel()]
    assert len({spec.level(task.seed).room for task in tasks}) == len(tasks)


def test_random_play_wins_now_and_then():
    spec = SokobanSpec()
    draw, env, wins = random.Random(0), spec.make(), 0.0
    for task in spec.training_panel():
        for _ in range(40):
            env.reset(task)
            steps = [env.step(draw.choice(ACTIONS))]
            while not (steps[-1].terminated or steps[-1].truncated):
                steps.append(env.step(draw.choice(ACTIONS)))
            wins += steps[-1].reward
    assert 0.01 < wins / (40 * spec.train_tasks) < 0.3


@pytest.mark.parametrize(
    "dials",
    [
        {"size": 3},
        {"size": 11},
        {"boxes": 0},
        {"boxes": 5},
        {"boxes": 2, "size": 4},
        {"least": 0},
        {"least": 17},
    ],
)
def test_impossible_dials_are_refused(dials):
    with pytest.raises(UserError, match=next(iter(dials))):
        SokobanSpec(**dials)


def test_levels_that_are_not_there_are_refused():
    with pytest.raises(UserError, match=r"only 0 different tasks.*lower env\.least"):
        SokobanSpec(size=4, least=15).training_panel()
