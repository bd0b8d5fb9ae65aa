"""The bifurcation world: few choices matter, it is known which, and exact credit says the same."""

import itertools
import random
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from envs.base import Split, Task, normalise
from envs.fork import ForkSpec
from envs.fork.road import FORKS, SIGHTS, WAYS
from harness.compose import compose_run
from harness.errors import UserError
from harness.policy.exact import INVALID, Situations
from harness.policy.text import Prompts

SHORT = ForkSpec(pivots=2, options=2, gap=2, delay=2, horizon=8)
SPECS = {
    "lost for good": SHORT,
    "recoverable": replace(SHORT, gap=1, recoverable=True, horizon=9),
    "three ways": replace(SHORT, options=3, gap=1, delay=1, horizon=6),
    "past shown": replace(SHORT, shows_past=True),
}


def solution(spec: ForkSpec, task: Task) -> list[str]:
    """The right way at every fork, and any at other places."""
    road, draw = spec.road(task.seed), random.Random(0)
    return [
        road.right(place) if road.is_fork(place) else draw.choice(WAYS[: spec.options])
        for place in range(spec.length)
    ]


def exact_advantages(spec: ForkSpec, task: Task) -> dict[tuple[str, str, int, str], float]:
    """Q - V of the uniform policy by (observation, state key, steps left, action): the project's code."""
    situations = Situations.of(spec, task)
    uniform = np.array([(action != INVALID) / spec.options for _, action in situations.edge])
    value = situations.values(uniform, spec.horizon)
    found = {}
    for situation, number in situations.number.items():
        for action in situations.actions[number]:
            if (number, action) not in situations.edge:
                continue  # only ever met when the horizon is over
            edge = situations.edge[number, action]
            there = situations.to_E[edge]
            for left in range(1, spec.horizon + 1):
                after = value[left - 1, there] if there >= 0 else 0.0
                advantage = situations.reward_E[edge] + after - value[left, number]
                found[*situation, left, action] = float(advantage)
    return found


def enumerated_advantages(spec: ForkSpec, task: Task) -> dict[tuple[str, str, int, str], float]:
    """The same by playing every sequence of actions to its end: averages of what happened, nothing else."""
    ways, env = WAYS[: spec.options], spec.make()
    returns: dict[tuple[str, ...], list[float]] = defaultdict(list)
    situations: dict[tuple[str, ...], tuple[str, str]] = {}
    for sequence in itertools.product(ways, repeat=spec.horizon):
        observation, info = env.reset(task)
        played: list[tuple[str, ...]] = []
        over = False
        for number, action in enumerate(sequence):
            if over:
                break
            situations[sequence[:number]] = (observation, info.state_key)
            played += [sequence[:number]]
            observation, reward, terminated, truncated, info = env.step(action)
            over = terminated or truncated
        for prefix in (*played, sequence[: len(played)]):
            returns[prefix].append(reward)
    mean = {prefix: float(np.mean(all_of_them)) for prefix, all_of_them in returns.items()}
    return {
        (*situations[prefix], spec.horizon - len(prefix), action): mean[*prefix, action] - mean[prefix]
        for prefix in situations
        for action in ways
    }


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_only_pivotal_choices_have_an_advantage(spec):
    """Of a policy that draws its ways: by the exact code and by playing everything, zero elsewhere."""
    for task in spec.training_panel()[:2]:
        exact, enumerated = exact_advantages(spec, task), enumerated_advantages(spec, task)
        assert enumerated
        for where, advantage in enumerated.items():
            _, key, left, _ = where
            assert exact[where] == pytest.approx(advantage, abs=1e-12)
            place = int(key.split("/")[0])
            if spec.pivotal(task, key) and left >= spec.length - place:
                assert abs(advantage) > 0.05
            else:
                assert advantage == pytest.approx(0, abs=1e-12)


def test_the_values_are_the_closed_form():
    """With b ways and p forks to go, drawing wins b**-p, and the right way is worth (b - 1) b**-p more."""
    spec = ForkSpec(pivots=3, options=3, gap=2, delay=4)
    (task, *_) = spec.training_panel()
    advantages = exact_advantages(spec, task)
    road = spec.road(task.seed)
    for number, place in enumerate(road.forks()):
        mark = road.places[place][0]
        to_go = spec.pivots - number
        right = advantages[f"at {mark}", f"{place}/0/{mark}", spec.horizon - place, road.right(place)]
        assert right == pytest.approx(2 * 3.0**-to_go)


def test_slips_leave_noise_but_the_same_pivots():
    """By play: the mean return after each choice at a step, less that of all; 4 standard errors."""
    spec = ForkSpec(pivots=1, options=2, gap=1, delay=1, slip=0.5, horizon=3)
    assert not spec.enumerable
    (task, *_) = spec.training_panel()
    env, draw, count = spec.make(), random.Random(1), 4000
    choices, returns = [], []
    for seed in range(count):
        env.reset(task, seed)
        sequence = draw.choices(WAYS[:2], k=spec.length)
        returns.append([env.step(way) for way in sequence][-1].reward)
        choices.append(sequence)
    right, won = spec.road(task.seed).right(1), np.array(returns)
    for place, expected in ((0, 0.0), (1, 0.25), (2, 0.0)):
        chosen = np.array([sequence[place] == right for sequence in choices])
        error = np.sqrt(0.25 / count)
        assert won[chosen].mean() - won.mean() == pytest.approx(expected, abs=4 * error)


@pytest.mark.parametrize("pivots", [1, 3, 5])
@pytest.mark.parametrize("delay", [0, 4])
def test_roads_are_as_long_as_the_dials_say_and_can_be_walked(pivots, delay):
    spec = ForkSpec(pivots=pivots, gap=2, delay=delay)
    for task in spec.training_panel():
        road, env = spec.road(task.seed), spec.make()
        assert road.forks() == tuple(3 * number + 2 for number in range(pivots))
        _, info = env.reset(task)
        keys, steps = [info.state_key], []
        for way in solution(spec, task):
            steps.append(env.step(way))
            keys.append(steps[-1].info.state_key)
        assert len(steps) == spec.length
        assert (steps[-1].reward, steps[-1].info.success) == (1.0, True)
        assert not any(step.terminated or step.reward for step in steps[:-1])
        assert tuple(i for i, key in enumerate(keys[:-1]) if spec.pivotal(task, key)) == road.forks()
        assert not spec.pivotal(task, keys[-1]), "the end"


def test_one_wrong_way_loses_unless_it_can_be_mended():
    for spec in (ForkSpec(), ForkSpec(recoverable=True)):
        task = spec.training_panel()[0]
        road, env, way = spec.road(task.seed), spec.make(), solution(spec, task)
        env.reset(task)
        first = road.forks()[0]
        for action in way[:first]:
            env.step(action)
        wrong = next(action for action in WAYS if action != road.right(first))
        after = env.step(wrong)
        assert spec.pivotal(task, after.info.state_key) == spec.recoverable
        rest = way[first:] if spec.recoverable else way[first + 1 :]
        assert [env.step(action) for action in rest][-1].info.success == spec.recoverable
        assert env.steps == spec.length + spec.recoverable


def test_a_choice_changes_what_is_seen_next_and_only_that():
    spec = ForkSpec(gap=2)
    task = spec.training_panel()[0]
    env = spec.make()
    env.reset(task)
    twins = [env.copy() for _ in range(spec.options)]
    after = [twin.step(way) for twin, way in zip(twins, WAYS, strict=False)]
    assert len({step.observation for step in after}) == spec.options
    at_fork = [twin.step(WAYS[0]) for twin in twins]
    assert len({(step.observation, step.info.state_key) for step in at_fork}) == 1


def test_names_do_not_say_what_matters_and_the_rule_is_the_same_in_all_tasks():
    spec = ForkSpec(split=Split.unseen)
    rights: dict[str, set[str]] = defaultdict(set)
    tasks = [*spec.training_panel(), *spec.evaluation_panel()]
    for road in (spec.road(task.seed) for task in tasks):
        for place, seen in enumerate(road.places):
            assert set(seen) <= set(FORKS if place in road.forks() else SIGHTS)
            if place in road.forks():
                rights[seen[0]].add(road.right(place))
    assert set(rights) == set(FORKS)
    assert all(len(ways) == 1 for ways in rights.values())
    assert len({spec.road(task.seed) for task in tasks}) == len(tasks)


def test_what_is_read_is_in_the_vocabulary():
    spec = ForkSpec(options=4, shows_past=True, pivots=2)
    words, env, prompts = set(spec.vocabulary()), spec.make(), Prompts(spec)
    for task in spec.training_panel():
        observation, info = env.reset(task)
        chosen: list[str] = []
        for way in solution(spec, task):
            assert observation == normalise(observation)
            assert observation.split()[2:] == ["past", *chosen]
            assert set(observation.split()) | set(info.admissible) <= words
            assert prompts.tokenizer.decode(prompts.ids(observation)) == observation
            observation, *_, info = env.step(way)
            chosen.append(way)
        assert observation == f"at end past {' '.join(chosen)}"


def test_the_oracle_is_told_where_there_are_true_values():
    assert compose_run(["algorithm=oracle", "env=fork"]).has_exact_values
    for dial in ("env.slip=0.1", "env.history=1"):
        with pytest.raises(UserError, match="true values"):
            compose_run(["algorithm=oracle", "env=fork", dial])


@pytest.mark.parametrize(
    "dials",
    [{"pivots": 0}, {"options": 5}, {"gap": -1}, {"delay": 21}, {"slip": 1.0}, {"horizon": 8}],
)
def test_impossible_dials_are_refused(dials):
    with pytest.raises(UserError, match=next(iter(dials))):
        ForkSpec(**dials)


def test_too_few_roads_are_refused():
    with pytest.raises(UserError, match=r"only 6 different tasks.*raise env\.pivots"):
        ForkSpec(pivots=1, gap=0, delay=0).training_panel()
