"""Shared by all tests: tiny batches for credit functions, and what a test needs installed."""

import os
import shutil
import signal
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import pytest

from harness.records import Batch


def pytest_configure() -> None:
    """Tests see processes as users start them.

    A closed terminal is a signal also where the tests run under nohup, and what a process prints waits in a
    buffer also where the tests run with PYTHONUNBUFFERED, which hid that last words were lost.
    """
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    os.environ.pop("PYTHONUNBUFFERED", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--algorithm", help="contract tests of these algorithms only: NAME[,NAME]")
    parser.addoption("--environment", help="contract tests of this environment only: NAME")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long comes first: pages that are executed, and tests that wait for a SLURM cluster.

    At the end, one worker would be left alone with the former, and with the latter all would wait while the
    processors have nothing to do.
    """

    def late(item: pytest.Item) -> tuple[bool, bool]:
        return not item.path.name.startswith("test_ad"), item.path.parent.name != "slurm"

    items.sort(key=late)


def need(*programs: str) -> None:
    """Skip the test where a program is not installed; under CI, which installs them all, fail it."""
    need_all([program for program in programs if not shutil.which(program)])


def need_modules(*modules: str) -> None:
    """The same for Python's modules."""
    need_all([module for module in modules if not find_spec(module)])


def need_all(missing: Sequence[str]) -> None:
    """Skip the test for what is missing; under CI, fail it."""
    if missing:
        why = f"not installed: {', '.join(missing)}"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)


def make_batch(
    rewards: Sequence[Sequence[float]],
    tokens: Sequence[Sequence[int]] | None = None,
    states: Sequence[Sequence[str]] | None = None,
    groups: Sequence[int] | None = None,
    valid: Sequence[Sequence[bool]] | None = None,
    **columns: object,
) -> Batch:
    """A batch from one list a trajectory: rewards, tokens a step (1), state names (all different)."""
    flat = [reward for trajectory in rewards for reward in trajectory]
    groups = groups or [0] * len(rewards)
    tokens = tokens or [[1] * len(trajectory) for trajectory in rewards]
    names = states or [[f"{i}.{j}" for j in range(len(t))] for i, t in enumerate(rewards)]
    keys = [(group, name) for group, t in zip(groups, names, strict=True) for name in t]
    codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    tokens_S = np.array([n for t in tokens for n in t])
    total = int(tokens_S.sum())
    count = len(rewards)
    defaults: dict[str, object] = {
        "parent_N": np.full(count, -1),
        "branch_step_N": np.zeros(count, dtype=np.int64),
        "branch_token_N": np.zeros(count, dtype=np.int64),
        "uniform_S": np.random.default_rng(0).uniform(size=len(flat)),
        "logprob_T": np.zeros(total),
        "entropy_T": np.zeros(total),
        "choice_T": np.ones(total, dtype=bool),
        "success_N": np.array([sum(t) > 0 for t in rewards]),
    }
    return Batch(
        steps_N=np.array([len(t) for t in rewards]),
        group_N=np.array(groups),
        tokens_S=tokens_S,
        reward_S=np.array(flat, dtype=np.float64),
        state_S=np.array([codes[key] for key in keys]),
        valid_S=np.array([v for t in valid for v in t] if valid else [True] * len(flat)),
        **{**defaults, **columns},
    )


@pytest.fixture
def batch_of():
    """The builder above."""
    return make_batch
