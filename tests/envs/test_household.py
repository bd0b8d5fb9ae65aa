"""The household: honest observations, exact states, and tasks that can be done in time."""

import random
from collections import deque
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from envs.base import Info, Split, Task, TaskSet, Transition
from envs.household import Household, HouseholdSpec
from harness.errors import UserError

SPECS = [
    HouseholdSpec(train_tasks=40, eval_tasks=40),
    HouseholdSpec(places=8, objects=6, kinds=("put", "clean", "heat", "cool"), alike=False),
    HouseholdSpec(places=2, objects=1, kinds=("cool",), horizon=8, train_tasks=4, eval_tasks=4),
]


def play(spec: HouseholdSpec, task: Task, actions: list[str]) -> list[Transition]:
    environment = spec.make()
    environment.reset(task)
    return [environment.step(action) for action in actions]


def solution(spec: HouseholdSpec, task: Task) -> list[str]:
    """The shortest solution, by breadth-first search over copies."""
    environment = spec.make()
    _, info = environment.reset(task)
    queue: deque[tuple[Household, Info, list[str]]] = deque([(environment, info, [])])
    seen = {info.state_key}
    while queue:
        environment, info, actions = queue.popleft()
        for action in info.admissible:
            following = environment.copy()
            after = following.step(action)
            if after.terminated:
                return [*actions, action]
            if after.info.state_key not in seen and not after.truncated:
                seen.add(after.info.state_key)
                queue.append((following, after.info, [*actions, action]))
    raise AssertionError(f"{task.id} has no solution")


def wander(spec: HouseholdSpec, task: Task, seed: int, junk: float = 0.2) -> list[str]:
    """Random actions, some of them invalid, until the episode ends."""
    draw = random.Random(seed)
    environment = spec.make()
    _, info = environment.reset(task)
    actions, over = [], False
    while not over:
        actions.append("take sofa" if draw.random() < junk else draw.choice(info.admissible))
        _, _, terminated, truncated, info = environment.step(actions[-1])
        over = terminated or truncated
    return actions


@pytest.mark.parametrize("spec", SPECS)
def test_every_task_is_open_at_first_and_solvable_in_time(spec: HouseholdSpec) -> None:
    for task in spec.training_panel():
        steps = play(spec, task, solution(spec, task))
        assert len(steps) <= spec.horizon
        assert [step.reward for step in steps] == [0.0] * (len(steps) - 1) + [1.0]
        assert steps[-1].info.success
        assert not steps[-1].truncated


def test_a_solution_reads_as_the_goal_says() -> None:
    spec = SPECS[0]
    task = next(task for task in spec.training_panel() if "clean" in task.goal)
    actions = solution(spec, task)
    thing, place = task.goal.split()[3], task.goal.split()[-1]
    assert f"clean {thing}" in actions
    assert actions[-1] == f"put {thing}"
    assert f"hold clean {thing}" in play(spec, task, actions)[-2].observation
    assert f"at {place}" in play(spec, task, actions)[-1].observation


@pytest.mark.parametrize("spec", SPECS)
def test_episodes_repeat_exactly(spec: HouseholdSpec) -> None:
    for task in spec.training_panel():
        actions = wander(spec, task, seed=1)
        assert play(spec, task, actions) == play(spec, task, actions)


@pytest.mark.parametrize("spec", SPECS)
def test_equal_keys_mean_equal_states(spec: HouseholdSpec) -> None:
    """Whatever way led to a key, the view, the admissible actions and every next key are the same."""
    task = spec.task("train", 0)
    known: dict[str, tuple[object, ...]] = {}
    for seed in range(30):
        environment = spec.make()
        observation, info = environment.reset(task)
        for action in wander(spec, task, seed, junk=0.0):
            following = []
            for each in info.admissible:
                after = environment.copy().step(each)
                following.append((after.observation, after.info.state_key, after.terminated))
            content = (observation, info.admissible, *following)
            assert known.setdefault(info.state_key, content) == content
            observation, _, _, _, info = environment.step(action)


def test_different_observations_have_different_keys() -> None:
    spec, views = SPECS[1], {}
    for seed in range(30):
        for step in play(spec, spec.task("train", 0), wander(spec, spec.task("train", 0), seed, junk=0.0)):
            assert views.setdefault(step.info.state_key, step.observation) == step.observation
    assert len(views) > 50


@pytest.mark.parametrize(
    "action", ["", "go", "take sofa", "put", "GO shelf", "go shelf ", "clean nothing at all"]
)
def test_an_invalid_action_costs_a_step_and_changes_nothing(action: str) -> None:
    spec = SPECS[0]
    environment = spec.make()
    observation, info = environment.reset(spec.task("train", 0))
    for number in range(1, spec.horizon + 1):
        after = environment.step(action)
        assert after.observation == f"nothing happens . {observation}"
        assert not after.info.valid
        assert after.info.state_key == info.state_key
        assert after.info.admissible == info.admissible
        assert (after.reward, after.terminated, after.truncated) == (0.0, False, number == spec.horizon)


def test_what_is_closed_is_hidden_until_opened() -> None:
    spec = HouseholdSpec(places=2, objects=6, train_tasks=20)
    task = next(
        each for each in spec.training_panel() if "drawer" in dict(spec.home(each.seed).start).values()
    )
    closed, opened = play(spec, task, ["go drawer", "open drawer"])
    assert closed.observation.endswith("at drawer closed see ? hold -")
    inside = [thing for thing, place in spec.home(task.seed).start if place == "drawer"]
    assert opened.observation.endswith(f"at drawer open see {' , '.join(inside)} hold -")
    assert [each for each in opened.info.admissible if "take" in each] == [
        f"take {thing}" for thing in inside
    ]


def test_a_copy_is_independent() -> None:
    spec = SPECS[1]
    task = spec.task("train", 0)
    actions = wander(spec, task, seed=3, junk=0.0)
    for cut in range(len(actions)):
        original = spec.make()
        original.reset(task)
        for action in actions[:cut]:
            original.step(action)
        other = original.copy()
        while not any(other.step(other.step("look").info.admissible[-1])[2:4]):
            pass
        assert [original.step(action) for action in actions[cut:]] == play(spec, task, actions)[cut:]


@pytest.mark.parametrize("spec", SPECS)
def test_the_vocabulary_covers_everything(spec: HouseholdSpec) -> None:
    words = spec.vocabulary()
    assert len(set(words)) == len(words)
    for task in spec.training_panel() + spec.evaluation_panel():
        steps = play(spec, task, wander(spec, task, seed=2))
        texts = [task.goal, *(step.observation for step in steps)]
        texts += [action for step in steps for action in step.info.admissible]
        assert {word for text in texts for word in text.split()} <= set(words)
        assert max(len(action.split()) for step in steps for action in step.info.admissible) < 4


def test_tasks_are_distinct_and_unseen_ones_are_unseen() -> None:
    spec = HouseholdSpec(train_tasks=30, eval_tasks=30, split=Split.unseen)
    train = {spec.home(task.seed) for task in spec.training_panel()}
    unseen = {spec.home(task.seed) for task in spec.evaluation_panel()}
    assert (len(train), len(unseen), len(train & unseen)) == (30, 30, 0)


def test_a_panel_grows_without_changing_its_first_tasks() -> None:
    assert HouseholdSpec(train_tasks=30).training_panel()[:8] == HouseholdSpec().training_panel()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"places": 1}, "env.places=1 must be 2 to 8"),
        ({"objects": 7}, "env.objects=7 must be 1 to 6"),
        ({"kinds": ("put", "boil")}, r"env.kinds=\['put', 'boil'\] must name some of put, clean, heat, cool"),
        ({"kinds": ()}, r"env.kinds=\[\] must name"),
        ({"horizon": 7}, "env.horizon=7 is too short for every task: raise it to 8"),
    ],
)
def test_bad_dials_are_refused_in_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        HouseholdSpec(**options)
    assert "\n" not in str(caught.value)


def test_more_tasks_than_there_are_homes_are_refused() -> None:
    spec = HouseholdSpec(places=2, objects=1, kinds=("put",), train_tasks=50)
    with pytest.raises(UserError, match="there are only 2 different tasks"):
        spec.training_panel()


def test_the_yaml_holds_the_defaults() -> None:
    path = Path(__file__).parents[2] / "sweeps" / "env" / "household.yaml"
    env = OmegaConf.to_container(OmegaConf.load(path).env)
    assert isinstance(env, dict)
    assert env.pop("_target_") == "envs.household.HouseholdSpec"
    assert list(env) == [field.name for field in fields(HouseholdSpec)]
    named = {"split": Split(env["split"]), "tasks": TaskSet(env["tasks"])}
    assert HouseholdSpec(**{**env, **named}) == HouseholdSpec()
