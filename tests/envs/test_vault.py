"""The vault: solvable, deterministic, and what its dials do."""

import random
from dataclasses import replace

import pytest

from envs.base import Split
from envs.vault import VaultSpec
from harness.errors import UserError


def solve(spec: VaultSpec, index: int) -> list[str]:
    """A shortest solution by blind breadth-first search through `copy` and `step`: an oracle of its own."""
    start = spec.make()
    _, info = start.reset(spec.task("train", index))
    frontier, seen = [(start, info, [])], {info.state_key}
    while True:
        following = []
        for env, info, path in frontier:
            for action in info.admissible:
                after = env.copy()
                _, reward, terminated, _, next_info = after.step(action)
                if terminated:
                    assert reward == 1.0
                    return [*path, action]
                if next_info.state_key not in seen:
                    seen.add(next_info.state_key)
                    following.append((after, next_info, [*path, action]))
        frontier = following


@pytest.mark.parametrize("index", range(8))
def test_every_task_is_solvable_and_the_layout_knows_how_fast(index):
    spec = VaultSpec()
    path = solve(spec, index)
    assert len(path) == spec.layout(spec.task("train", index).seed).shortest() <= spec.horizon
    assert path[-1] == "take coin"
    assert path.index("take key") < path.index("open door")


def test_observations_are_short_and_in_the_vocabulary():
    spec = VaultSpec(rooms=9, distractors=4, hidden_exits=True, horizon=60)
    words, draw, env = set(spec.vocabulary()), random.Random(0), spec.make()
    for task in spec.training_panel():
        observation, info = env.reset(task)
        for _ in range(30):
            assert len(observation.split()) == 17
            action = draw.choice(info.admissible)
            assert set(f"{observation} {action}".split()) <= words
            observation, _, terminated, truncated, info = env.step(action)
            if terminated or truncated:
                break


def test_random_play_rarely_wins_and_revisits_states():
    spec = VaultSpec()
    draw, env, wins, shared = random.Random(0), spec.make(), 0, []
    for task in spec.training_panel():
        visitors: dict[str, set[int]] = {}
        for episode in range(40):
            _, info = env.reset(task)
            over = False
            while not over:
                if episode < 8:
                    visitors.setdefault(info.state_key, set()).add(episode)
                _, reward, terminated, truncated, info = env.step(draw.choice(info.admissible))
                over = terminated or truncated
            wins += reward
        shared.append(sum(len(who) > 1 for who in visitors.values()) / len(visitors))
    assert 0.02 < wins / (40 * spec.train_tasks) < 0.2
    assert sum(shared) / len(shared) > 0.7


def test_hidden_exits_can_be_walked_into():
    spec = VaultSpec(hidden_exits=True)
    env = spec.make()
    observation, info = env.reset(spec.task("train", 0))
    assert observation.count("?") == 4
    wall = next(way for way in ("north", "south", "east", "west") if way not in env.layout.exits[0])
    after = env.step(f"go {wall}")
    assert after.info.valid
    assert after.info.state_key == info.state_key


def test_slips_are_noise_of_the_episode_not_of_the_task():
    spec = VaultSpec(slip=0.5, rooms=6, horizon=40)

    def rooms(seed: int) -> list[str]:
        env, draw = spec.make(), random.Random(1)
        _, info = env.reset(spec.task("train", 2), seed)
        keys = []
        for _ in range(20):
            info = env.step(draw.choice(info.admissible)).info
            keys.append(info.state_key)
        return keys

    assert rooms(1) == rooms(1)
    assert len({tuple(rooms(seed)) for seed in range(8)}) > 1


def test_unseen_panel_is_disjoint():
    spec = VaultSpec(split=Split.unseen)
    assert not {t.seed for t in spec.evaluation_panel()} & {t.seed for t in spec.training_panel()}
    assert spec.panel_hash() != VaultSpec().panel_hash()
    assert replace(spec).panel_hash() == spec.panel_hash()


@pytest.mark.parametrize(
    "dials",
    [{"rooms": 1}, {"rooms": 10}, {"distractors": 4}, {"slip": 1.0}, {"horizon": 3}, {"eval_tasks": 99}],
)
def test_impossible_dials_are_refused(dials):
    with pytest.raises(UserError, match=next(iter(dials))):
        VaultSpec(**dials)
