"""Updates on two ranks are those on one, for everything that can be trained; two real processes over gloo."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.ledger.ledger import Entry
from harness.ranks import ALONE, Ranks
from tests.harness.parallel.cases import CASES, make_models, outcome

pytestmark = pytest.mark.slow
CLOSE = {"rtol": 1e-6, "atol": 1e-9}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("ranks")
    make_models(path)
    return path


@pytest.fixture(scope="module")
def on_two(folder) -> dict:
    """The first rank's outcome of every case."""
    command = [sys.executable, "-m", "tests.harness.parallel.cases"]
    ranks = [
        subprocess.Popen([*command, str(rank), str(folder)], stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            _, errors = rank.communicate(timeout=300)
            assert rank.returncode == 0, errors
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    found: dict = torch.load(folder / "found", weights_only=False)
    return found


@pytest.fixture(scope="module")
def on_one(folder) -> dict:
    return {name: outcome(case, ALONE, folder) for name, case in CASES.items()}


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_train_as_one_does(name, on_one, on_two):
    one, two = on_one[name], on_two[name]
    assert len(one["weights"]) > 1
    torch.testing.assert_close(two["scores"], one["scores"], **CLOSE)
    for what in ("weights", "critic", "moments", "metrics"):
        torch.testing.assert_close(two[what], one[what], **CLOSE)
    if one["values"] is not None:
        torch.testing.assert_close(two["values"], one["values"], **CLOSE)


@pytest.mark.parametrize("name", CASES)
def test_weights_and_moments_are_all_that_a_learner_goes_on_from(name, on_two):
    torch.testing.assert_close(on_two[name]["weights again"], on_two[name]["weights"], rtol=0, atol=0)
    *_, gone_on, third = on_two[name]["metrics"]
    assert gone_on == third


@pytest.mark.parametrize("name", CASES)
def test_nominal_work_is_booked_once(name, on_one, on_two):
    (one,), two = on_one[name]["booked"], on_two[name]["booked"]
    for phase, entry in one.items():
        whole, parts = Entry(**entry), [Entry(**rank[phase]) for rank in two]
        assert whole.tokens == sum(part.tokens for part in parts)
        assert whole.flops == sum(part.flops for part in parts)
        assert whole.computed <= sum(part.computed for part in parts)
    trained = [rank["actor_train"]["flops"] for rank in two]
    assert min(trained) > 0.3 * sum(trained), "the work is dealt out"


def test_shares_are_all_things_in_order_and_about_even():
    for weights in ([5], [1, 1], [9, 1, 1, 1], [3, 1, 4, 1, 5, 9, 2, 6]):
        for size in (1, 2, 3):
            parts = [weights[Ranks(rank, size).share(weights)] for rank in range(size)]
            assert [weight for part in parts for weight in part] == weights
            most = sum(weights) / size + max(weights)
            assert all(sum(part) <= most for part in parts)
    assert Ranks(1, 2).share([]) == slice(0, 0)
