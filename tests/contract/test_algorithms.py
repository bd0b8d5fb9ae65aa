"""What every algorithm must do.

Algorithms are picked up from `sweeps/algorithm/*.yaml`; for one alone:
`python -m pytest tests/contract --algorithm NAME`.
"""

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from algorithms.base import Algorithm
from algorithms.factors import Baseline, Clash, CreditUnit, KLEstimator, KLPlace, NormaliseUnit, Range
from algorithms.shared.checked import checked_credit
from algorithms.shared.kl_reward import with_kl_in_reward
from harness.compose import compose_run
from harness.compose.composing import CONFIG_DIR, group_options
from harness.config.plain import to_plain
from harness.errors import UserError
from harness.ledger import Phase
from harness.policy.model import weights
from harness.records import Batch
from harness.records.batch import COLUMNS
from harness.records.columns import Moment, per_token
from harness.records.files import COLUMN_KEYS, GIVEN_COLUMNS
from harness.run import Run
from harness.store import RunDir
from tests.conftest import make_batch

COMPARING = (
    *(Baseline.group_mean, Baseline.leave_one_out),
    *(Baseline.state_group_mean, Baseline.graph_value),
)
"""Baselines that are made of the same group's returns."""
ANYTIME = {
    name for name, column in COLUMNS.items() if not column.text and column.moment is not Moment.previous
}
"""Columns of floats that only algorithms which name them may read."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--algorithm")
        metafunc.parametrize("name", asked.split(",") if asked else group_options("algorithm"))


@cache
def algorithm(name: str) -> Algorithm:
    return compose_run([f"algorithm={name}"]).algorithm


@st.composite
def batches(draw: st.DrawFn, most: int = 5, groups: int = 2) -> Batch:
    """Up to `most` trajectories of up to `groups` groups; ragged, with shared states, some continuations."""
    steps = st.lists(st.integers(1, 4), min_size=1, max_size=4)
    tokens = draw(st.lists(steps, min_size=1, max_size=most))
    count = len(tokens)
    rewards = [[0.0] * (len(t) - 1) + [float(draw(st.booleans()))] for t in tokens]
    states = [[draw(st.sampled_from("abc")) for _ in t] for t in tokens]
    group_N = sorted(draw(st.integers(0, groups - 1)) for _ in range(count))
    noise = np.random.default_rng(draw(st.integers(0, 999)))
    return make_batch(
        rewards, tokens, states, group_N, **family(draw, tokens, group_N), **columns(noise, tokens)
    )


def family(draw: st.DrawFn, tokens: list[list[int]], group_N: list[int]) -> dict[str, np.ndarray]:
    """Parents among the earlier trajectories of the same group; the first of a group is a root."""
    parent, step, token = [], [], []
    for i, group in enumerate(group_N):
        elders = [j for j in range(i) if group_N[j] == group]
        mine = draw(st.sampled_from([-1, *elders]))
        at = draw(st.integers(0, len(tokens[mine]) - 1)) if mine >= 0 else 0
        parent.append(mine)
        step.append(at)
        token.append(draw(st.integers(0, tokens[mine][at] - 1)) if mine >= 0 else 0)
    return {
        "parent_N": np.array(parent),
        "branch_step_N": np.array(step),
        "branch_token_N": np.array(token),
    }


def columns(noise: np.random.Generator, tokens: list[list[int]]) -> dict[str, object]:
    """Every optional column, at random."""
    steps, total = sum(map(len, tokens)), sum(map(sum, tokens))
    numbers = {name: noise.normal(0, 1, total if per_token(name) else steps) for name in sorted(ANYTIME)}
    return {
        **numbers,
        "entropy_T": noise.uniform(0, 2, total),
        "logprob_T": -noise.uniform(0, 2, total),
        "uniform_S": noise.uniform(size=steps),
        "observation_S": tuple(f"room {noise.integers(3)}" for _ in range(steps)),
        "vocabulary": 20,
    }


def picked(batch: Batch, order: np.ndarray) -> tuple[Batch, np.ndarray]:
    """The batch's trajectories `order`, in that order, and where each token came from."""
    steps = np.concatenate([np.flatnonzero(batch.trajectory_S == n) for n in order])
    tokens = np.concatenate([np.flatnonzero(batch.step_T == s) for s in steps])
    rows = {"N": order, "S": steps, "T": tokens}
    changed: dict[str, object] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, np.ndarray):
            changed[field.name] = value[rows[field.name[-1]]]
        elif isinstance(value, tuple):
            changed[field.name] = tuple(value[s] for s in steps)
    place = np.full(len(batch.steps_N), -1)
    place[order] = np.arange(len(order))
    parent_N = batch.parent_N[order]
    changed["parent_N"] = np.where(parent_N < 0, -1, place[parent_N])
    return replace(batch, **changed), tokens


def assert_sound(chosen: Algorithm, batch: Batch) -> np.ndarray:
    """A credit is finite and whole (`checked_credit`); returns the advantages."""
    credit = checked_credit(chosen, batch)
    if credit.trained_N is not None:
        assert (credit.advantage_T[~credit.trained_N[batch.trajectory_T]] == 0).all()
    return credit.advantage_T


@settings(max_examples=25, deadline=None)
@given(batch=batches(), seed=st.integers(0, 99))
def test_credit_is_sound_and_blind_to_order(name, batch, seed):
    advantage_T = assert_sound(algorithm(name), batch)
    order = np.random.default_rng(seed).permutation(len(batch.steps_N))
    shuffled, tokens = picked(batch, order)
    again_T = algorithm(name).credit(shuffled).advantage_T
    np.testing.assert_allclose(again_T, advantage_T[tokens], atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(batch=batches())
def test_other_groups_do_not_matter(name, batch):
    """However long the others are: credit pads nothing."""
    chosen = algorithm(name)
    if chosen.normalise_unit.value.endswith("of_batch") or chosen.discount_unit.value == "mean_step":
        pytest.skip("normalises or discounts by statistics of the whole batch")
    mine = np.flatnonzero(batch.group_N == batch.group_N[0])
    alone, tokens = picked(batch, mine)
    together_T = chosen.credit(batch).advantage_T[tokens]
    np.testing.assert_allclose(chosen.credit(alone).advantage_T, together_T, atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(batch=batches(most=1))
def test_one_trajectory_gives_numbers(name, batch):
    assert_sound(algorithm(name), batch)


def test_one_step_of_one_token_gives_numbers(name):
    noise = np.random.default_rng(0)
    assert_sound(algorithm(name), make_batch([[1.0]], **columns(noise, [[1]])))


@settings(max_examples=10, deadline=None)
@given(batch=batches())
def test_credit_reads_only_the_columns_it_names(name, batch):
    """`columns` is what `harness.credit` asks a file for: everything else may be missing."""
    chosen = algorithm(name)
    assert chosen.columns <= set(COLUMN_KEYS) | GIVEN_COLUMNS, "a column that no file and no loop can give"
    poisoned = {column: np.full_like(getattr(batch, column), np.nan) for column in ANYTIME - chosen.columns}
    if "state_S" not in chosen.columns:
        poisoned["state_S"] = np.arange(len(batch.state_S))
    if "observation_S" not in chosen.columns:
        poisoned["observation_S"] = None
    again = chosen.credit(replace(batch, **poisoned))
    np.testing.assert_array_equal(again.advantage_T, chosen.credit(batch).advantage_T)
    assert all(np.isfinite(value) for value in again.diagnostics.values())


def test_branch_points_read_only_what_the_sampler_fills(name):
    assert set(algorithm(name).plan().reads) <= {"current_logprob_T", "previous_logprob_T"}


def crediting_steps(name: str) -> Algorithm:
    """The algorithm; skips the test where it credits single tokens."""
    chosen = algorithm(name)
    if chosen.credit_unit is CreditUnit.token or "current_logprob_T" in chosen.columns:
        pytest.skip("credits single tokens")
    return chosen


@settings(max_examples=10, deadline=None)
@given(batch=batches())
def test_tokens_of_a_step_share_its_credit(name, batch):
    advantage_T = crediting_steps(name).credit(batch).advantage_T
    for step in range(len(batch.tokens_S)):
        assert np.ptp(advantage_T[batch.step_T == step]) == 0


@settings(max_examples=10, deadline=None)
@given(batch=batches(), more=st.integers(1, 3))
def test_tokens_that_a_step_has_more_get_its_credit(name, batch, more):
    """The token counts decide who gets credit; how much, they do not."""
    chosen = crediting_steps(name)
    if chosen.normalise_unit is NormaliseUnit.tokens_of_batch:
        pytest.skip("whitening counts tokens, so that longer steps weigh more")
    advantage_T = chosen.credit(batch).advantage_T
    source_T = np.sort(np.append(np.arange(len(batch.logprob_T)), [batch.last_token_S[-1]] * more))
    longer = {f.name: getattr(batch, f.name) for f in fields(batch) if f.name.endswith("_T")}
    longer = {column: value[source_T] for column, value in longer.items() if value is not None}
    tokens_S = batch.tokens_S.copy()
    tokens_S[-1] += more
    again_T = chosen.credit(replace(batch, tokens_S=tokens_S, **longer)).advantage_T
    np.testing.assert_allclose(again_T, advantage_T[source_T], atol=1e-9)


@settings(max_examples=10, deadline=None)
@given(batch=batches(groups=1), constant=st.floats(-3, 3))
def test_a_constant_reward_more_changes_no_group_method(name, batch, constant):
    """Methods that compare trajectories of a task, or at gamma 1 steps of a state, see differences only."""
    chosen = algorithm(name)
    if chosen.baseline not in COMPARING:
        pytest.skip(f"baseline={chosen.baseline.value} compares nothing within a group")
    chosen = replace(chosen, gamma=1.0)
    reward_S = batch.reward_S.copy()
    reward_S[batch.last_step_N] += constant
    more_T = chosen.credit(replace(batch, reward_S=reward_S)).advantage_T
    np.testing.assert_allclose(more_T, chosen.credit(batch).advantage_T, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 54321.7, 1e8, 1e12])
def test_rounding_errors_are_no_differences(name, scale):
    """Four attempts that are alike, but that two were paid 0.1 + 0.2 and two 0.3, get the same credit."""
    chosen = algorithm(name)
    if "uniform_S" in chosen.columns:
        pytest.skip("random on purpose")
    if chosen.baseline is Baseline.own:
        pytest.skip("its own numbers have another scale than the rewards")
    paid = [scale * 0.3, scale * (0.1 + 0.2)] * 2
    assert paid[0] != paid[1]
    drawn = columns(np.random.default_rng(2), [[2, 1]])
    drawn["value_T"] = scale * drawn["value_T"]
    alike = {column: np.tile(drawn[column], 4) for column in ANYTIME}
    batch = make_batch([[0.0, each] for each in paid], [[2, 1]] * 4, [["a", "b"]] * 4, **alike, vocabulary=20)
    advantage = chosen.credit(batch).advantage_T.reshape(4, 3)
    np.testing.assert_allclose(advantage, advantage[:1].repeat(4, axis=0), rtol=1e-9, atol=1e-9)
    if chosen.baseline in (Baseline.group_mean, Baseline.leave_one_out, Baseline.state_group_mean):
        np.testing.assert_array_equal(advantage, 0)


def test_a_kl_in_the_reward_is_refused_or_changes_the_credit(name):
    """Its reference pass is paid for."""
    try:
        chosen = replace(algorithm(name), kl_place=KLPlace.reward, kl_estimator=KLEstimator.k1, kl_coef=0.5)
    except Clash:
        pytest.skip("refused")
    noise = np.random.default_rng(3)
    tokens = [[2, 1], [1, 1], [1, 2], [1]] * 2
    rewards = [[0.0] * (len(each) - 1) + [float(i % 2)] for i, each in enumerate(tokens)]
    states = [["a", "b"][: len(each)] for each in tokens]
    batch = make_batch(rewards, tokens, states, **columns(noise, tokens))
    other = replace(batch, reference_logprob_T=noise.normal(size=len(batch.logprob_T)))
    one_T, other_T = (chosen.credit(with_kl_in_reward(each, chosen)).advantage_T for each in (batch, other))
    assert np.abs(one_T - other_T).max() > 1e-3


def numeric(name: str) -> list[str]:
    """The names of the algorithm's numeric options."""
    chosen = algorithm(name)
    return [f.name for f in fields(chosen) if type(getattr(chosen, f.name)) in (int, float)]


def test_numbers_beyond_any_sense_are_refused_in_one_line(name):
    for option in numeric(name):
        for value in (np.nan, np.inf, -np.inf, 1e308, -1e308):
            with pytest.raises(UserError, match=f"^algorithm.{option}=.* must be .*") as error:
                replace(algorithm(name), **{option: value})
            assert "\n" not in str(error.value)


def test_credit_is_sound_at_the_ends_of_every_range(name):
    """Neither overflow nor division by zero at any legal value of any one option, on large rewards too."""
    chosen, tried = algorithm(name), 0
    noise = np.random.default_rng(4)
    tokens = [[2, 1], [1, 1], [1, 2], [1]]
    states = [["a", "b"], ["a", "a"], ["b", "a"], ["a"]]
    for option in numeric(name):
        legal = chosen.ranges.get(option, Range())
        for value in (np.nextafter(legal.least, 1) if legal.open else legal.least, legal.most):
            try:
                extreme = replace(chosen, **{option: type(getattr(chosen, option))(value)})
            except UserError:
                continue  # an end that clashes with another option
            tried += 1
            for reward in (1.0, 1e30):
                batch = make_batch(
                    [[0.0] * (len(t) - 1) + [reward * (i % 2)] for i, t in enumerate(tokens)],
                    tokens,
                    states,
                    **columns(noise, tokens),
                )
                assert_sound(extreme, batch)
    assert tried >= 2 * len(numeric(name)) / 3


def calls(work: Callable[[], object]) -> int:
    """How many functions, Python's and C's, the work calls."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def test_no_function_is_called_for_each_group(name):
    """A loop over groups that looks at the whole batch in each turn is quadratic in the number of groups."""
    chosen, counts = algorithm(name), []
    for groups in (10, 100):
        tokens = [[1, 2]] * (2 * groups)
        batch = make_batch(
            [[0.0, 1.0], [0.0, 0.0]] * groups,
            tokens,
            [["a", "b"]] * (2 * groups),
            sorted([*range(groups)] * 2),
            parent_N=np.array([-1, 0] * groups)
            + np.array([0, 1] * groups) * np.repeat(np.arange(groups), 2) * 2,
            **columns(np.random.default_rng(5), tokens),
        )
        counts.append(calls(lambda batch=batch: chosen.credit(batch)))
    assert counts[1] <= counts[0] + 20


def test_credit_does_not_change_its_input(name):
    noise = np.random.default_rng(1)
    tokens = [[1, 2], [1], [3, 1]]
    batch = make_batch([[0, 1.0], [0.0], [0, 0.0]], tokens, **columns(noise, tokens))
    before = {
        field.name: value.copy()
        for field in fields(batch)
        if isinstance(value := getattr(batch, field.name), np.ndarray)
    }
    algorithm(name).credit(batch)
    for column, value in before.items():
        np.testing.assert_array_equal(getattr(batch, column), value)


def test_yaml_is_the_dataclass_defaults(name):
    yaml = OmegaConf.to_container(OmegaConf.load(CONFIG_DIR / "algorithm" / f"{name}.yaml"))
    config = compose_run([f"algorithm={name}"])
    assert yaml == to_plain(replace(config, algorithm=type(config.algorithm)()))["algorithm"]
    assert config.algorithm.name == name


def test_every_option_is_described(name):
    from harness.compose.help import field_docs

    cls = type(algorithm(name))
    described = field_docs(cls)
    assert all(described.get(field.name) for field in fields(cls)), "a field's docstring is its documentation"
    assert (cls.__doc__ or "").strip()


def test_branches_come_turn_by_turn_until_all_are_there(name):
    """Plays the skeleton's part: every continuation runs to the end that its parent had."""
    chosen = algorithm(name)
    plan = chosen.plan()
    assert plan.trajectories == chosen.rollouts
    if not plan.branches:
        pytest.skip("plans no branches")
    shape = [2, 2, 2]
    parent, step, token = [-1] * plan.roots, [0] * plan.roots, [0] * plan.roots
    for turn in range(5):
        count = len(parent)
        if count == plan.trajectories:
            break
        noise = np.random.default_rng(turn)
        batch = make_batch(
            [[0, 0, 1.0]] * count,
            [shape] * count,
            parent_N=np.array(parent),
            branch_step_N=np.array(step),
            branch_token_N=np.array(token),
            **columns(noise, [shape] * count),
        )
        points = chosen.select_branches(batch, turn, noise)
        assert count + len(points) <= plan.trajectories
        for point in points:
            assert 0 <= point.trajectory < count
            assert 0 <= point.step < len(shape)
            assert 0 <= point.token < shape[point.step]
            parent.append(point.trajectory)
            step.append(point.step)
            token.append(point.token)
    assert len(parent) == plan.trajectories, f"{name} plans {plan.branches} branches"


def test_it_plays_and_learns_in_the_skeleton(name, tmp_path_factory):
    """Two iterations of the real loop: everything is booked, all metrics are numbers, the weights move."""
    cell = compose_run(
        [
            f"algorithm={name}",
            "batch.trajectories=32",
            "batch.minibatches=2",
            "model.clone_updates=20",
            "env.horizon=6",
            "env.train_tasks=2",
            "env.eval_tasks=1",
            "evaluation.episodes=1",
            "evaluation.points=1",
            "evaluation.window=1",
            "budget.axis=tokens",
            "budget.limit=400",
        ]
    )
    warm = tmp_path_factory.getbasetemp() / "contract-warm-start"
    run = Run(cell, RunDir.create(tmp_path_factory.mktemp(name), cell), Path(warm))
    before = {key: tensor.clone() for key, tensor in weights(run.learner.policy).items()}
    result = run.finish()
    assert result["iterations"] >= 1
    moved = [not before[key].equal(tensor) for key, tensor in weights(run.learner.policy).items()]
    assert any(moved) == (run.ledger.entries[Phase.actor_train].flops > 0) == (name != "constant")
    assert (run.ledger.entries[Phase.decode_branch].tokens > 0) == (run.sampler.plan.branches > 0)
    assert run.ledger.trajectories == run.iteration * cell.tasks_per_iteration * run.sampler.plan.trajectories
