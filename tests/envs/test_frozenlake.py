"""The frozen lake: Gymnasium's transitions, the published text, lakes that can be crossed."""

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from envs.base import Split, Task, normalise
from envs.frozenlake import FrozenLake, FrozenLakeSpec
from envs.frozenlake.lake import ACTIONS, Lake
from harness.errors import UserError
from harness.policy.exact import INVALID, Situations
from harness.policy.text import Prompts

PUBLISHED = ("SFFF", "FHFH", "FFFH", "HFFG")
"""Gymnasium's 4x4 map."""
SLIPPERY = FrozenLakeSpec(slippery=True, horizon=100)


def lake_of(rows: tuple[str, ...]) -> Lake:
    cells = {(r, c): letter for r, row in enumerate(rows) for c, letter in enumerate(row)}
    holes = frozenset(cell for cell, letter in cells.items() if letter == "H")
    (start,) = [cell for cell, letter in cells.items() if letter == "S"]
    (goal,) = [cell for cell, letter in cells.items() if letter == "G"]
    return Lake(len(rows), holes, start, goal)


def crossing(monkeypatch, spec: FrozenLakeSpec, seed: int = 0) -> FrozenLake:
    """An episode on the published map."""
    monkeypatch.setattr(FrozenLakeSpec, "lake", lambda *_: lake_of(PUBLISHED))
    env = spec.make()
    env.reset(Task("published", 0), seed)
    return env


def chances(lake: Lake, row: int, column: int, action: str, rate: float) -> dict[tuple[int, int], float]:
    summed: dict[tuple[int, int], float] = defaultdict(float)
    for chance, cell in lake.outcomes((row, column), action, rate):
        summed[cell] += chance
    return dict(summed)


def test_a_slippery_step_goes_where_gymnasium_says():
    """From its documentation: 1/3 as meant, 1/3 to each side; the border stops what would leave the grid."""
    lake, third = lake_of(PUBLISHED), pytest.approx(1 / 3)
    assert chances(lake, 1, 2, "left", 1 / 3) == {(0, 2): third, (1, 1): third, (2, 2): third}
    assert chances(lake, 2, 1, "down", 1 / 3) == {(2, 0): third, (3, 1): third, (2, 2): third}
    assert chances(lake, 0, 0, "left", 1 / 3) == {(0, 0): pytest.approx(2 / 3), (1, 0): third}
    assert chances(lake, 0, 0, "up", 1 / 3) == {(0, 0): pytest.approx(2 / 3), (0, 1): third}
    assert chances(lake, 3, 2, "right", 0.8) == {
        (3, 3): pytest.approx(0.8),
        (2, 2): pytest.approx(0.1),
        (3, 2): pytest.approx(0.1),
    }


@pytest.mark.parametrize("rate", [1 / 3, 0.8, 1.0])
def test_all_transitions_are_those_of_gymnasium(rate):
    gymnasium = pytest.importorskip("gymnasium")
    spec = FrozenLakeSpec(size=5, horizon=30)
    for task in spec.training_panel()[:3]:
        lake = spec.lake(task.seed)
        letters = {lake.start: "S", lake.goal: "G", **dict.fromkeys(lake.holes, "H")}
        desc = ["".join(letters.get((r, c), "F") for c in range(5)) for r in range(5)]
        theirs = gymnasium.make("FrozenLake-v1", desc=desc, is_slippery=True, success_rate=rate).unwrapped.P
        for state, by_action in theirs.items():
            if divmod(state, 5) in (*lake.holes, lake.goal):
                continue
            for number, outcomes in by_action.items():
                summed: dict[tuple[int, int], float] = defaultdict(float)
                for chance, after, reward, over in outcomes:
                    cell = divmod(int(after), 5)
                    summed[cell] += chance
                    assert reward == (cell == lake.goal)
                    assert over == (cell == lake.goal or cell in lake.holes)
                assert chances(lake, *divmod(state, 5), ACTIONS[number], rate) == pytest.approx(dict(summed))


def test_slides_are_as_frequent_as_they_should_be(monkeypatch):
    """From where they start, over episodes and over the steps of an episode: 4 standard errors."""
    ended = Counter(crossing(monkeypatch, SLIPPERY, seed).step("down").info.state_key for seed in range(1500))
    error = np.sqrt(2 / 9 / 1500)
    assert set(ended) == {"0,0", "1,0", "0,1"}
    assert [ended[key] / 1500 for key in sorted(ended)] == pytest.approx([1 / 3] * 3, abs=4 * error)


def test_slides_are_chance_of_the_episode_and_the_step(monkeypatch):
    def cells(seed: int) -> list[str]:
        env = crossing(monkeypatch, SLIPPERY, seed)
        return [env.step("left").info.state_key for _ in range(10)]

    assert cells(1) == cells(1)
    assert len({tuple(cells(seed)) for seed in range(8)}) > 4


def test_the_published_map_is_crossed_in_six_steps(monkeypatch):
    env = crossing(monkeypatch, FrozenLakeSpec())
    assert env.reset(Task("published", 0))[0] == "P _ _ _\n_ O _ O\n_ _ _ O\nO _ _ G"
    way = lake_of(PUBLISHED).shortest()
    *others, last = [env.step(action) for action in way]
    assert len(way) == 6
    assert not any(step.terminated or step.reward for step in others)
    assert (last.reward, last.terminated, last.info.success) == (1.0, True, True)
    assert last.observation.split("\n")[3] == "O _ _ √"


def test_a_hole_ends_the_episode_without_reward(monkeypatch):
    env = crossing(monkeypatch, FrozenLakeSpec())
    env.step("right")
    fell = env.step("down")
    assert (fell.reward, fell.terminated, fell.truncated, fell.info.success) == (0.0, True, False, False)
    assert fell.observation.split("\n")[:2] == ["_ _ _ _", "_ X _ O"]


@pytest.mark.parametrize("corners", [True, False])
def test_every_lake_can_be_crossed(corners):
    spec = FrozenLakeSpec(size=6, holes=0.4, corners=corners, split=Split.unseen)
    tasks = [*spec.training_panel(), *spec.evaluation_panel()]
    lakes = [spec.lake(task.seed) for task in tasks]
    assert len(set(lakes)) == len(lakes)
    for task, lake in zip(tasks, lakes, strict=True):
        env = spec.make()
        env.reset(task)
        steps = [env.step(action) for action in lake.shortest()]
        assert steps[-1].info.success
        assert ((lake.start, lake.goal) == ((0, 0), (5, 5))) or not corners
    if not corners:
        assert len({lake.start for lake in lakes}) > 4


def test_exact_values_agree_with_value_iteration_on_the_grid(monkeypatch):
    """The uniform policy's chance to cross the published map in 20 steps, from a table of its own."""
    spec = FrozenLakeSpec()
    monkeypatch.setattr(FrozenLakeSpec, "lake", lambda *_: lake_of(PUBLISHED))
    situations = Situations.of(spec, Task("published", 0))
    policy = np.array([0.0 if action == INVALID else 0.25 for _, action in situations.edge])
    value = np.zeros((4, 4))
    for _ in range(spec.horizon):
        padded = np.pad(value, 1, mode="edge")
        goal = np.zeros((4, 4))
        goal[3, 3] = 1.0
        into = np.pad(goal, 1) + padded * np.pad(1 - goal, 1, constant_values=1.0)
        into[0], into[-1], into[:, 0], into[:, -1] = padded[0], padded[-1], padded[:, 0], padded[:, -1]
        value = (into[:-2, 1:-1] + into[2:, 1:-1] + into[1:-1, :-2] + into[1:-1, 2:]) / 4
        value *= [[letter == "S" or letter == "F" for letter in row] for row in PUBLISHED]
    assert 0 < value[0, 0] < 0.1
    assert situations.values(policy, spec.horizon)[spec.horizon, 0] == pytest.approx(value[0, 0], rel=1e-12)
    assert not replace(spec, slippery=True).enumerable
    assert not replace(spec, history=1).enumerable


def test_what_the_policy_reads_is_the_whole_lake():
    spec = FrozenLakeSpec(size=5)
    prompts, words = Prompts(spec), set(spec.vocabulary())
    for task in spec.training_panel():
        observation, info = spec.make().reset(task)
        assert len(prompts.ids(observation)) == 25
        assert set(normalise(observation).split()) | set(info.admissible) <= words
    assert len({prompts.ids(spec.make().reset(task)[0]) for task in spec.training_panel()}) == 8


@pytest.mark.parametrize(
    "dials",
    [{"size": 1}, {"size": 13}, {"holes": 1.0}, {"holes": -0.1}, {"success_rate": 0.0}, {"horizon": 5}],
)
def test_impossible_dials_are_refused(dials):
    with pytest.raises(UserError, match=next(iter(dials))):
        FrozenLakeSpec(**dials)


def test_too_few_lakes_are_refused():
    with pytest.raises(UserError, match=r"only 1 different tasks.*env\.holes"):
        FrozenLakeSpec(holes=0.0).training_panel()
