"""What a credit function gives back is checked in one place, by its name, for everybody who asks."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from algorithms.base import Credit
from algorithms.grpo import GRPO
from algorithms.ppo import PPO
from algorithms.shared.checked import CreditError, checked_credit
from harness import credit as command
from harness.compose import compose_run
from harness.records.batch import Batch
from harness.records.files import read_trajectories
from harness.run import Run
from harness.store import RunDir
from reports.episodes import checkpoint
from reports.recorded import Entrant
from tests.conftest import make_batch
from tests.harness.recorded import complete, text

TOKENS, TRAJECTORIES = 4, 2
ONES, ALL = np.ones(TOKENS), np.ones(TOKENS, dtype=bool)
NAN = np.array([1, np.nan, 1, 1])


def batch() -> Batch:
    return make_batch([[0, 1.0], [0.0]], tokens=[[1, 2], [1]], value_T=np.zeros(TOKENS))


@dataclass(frozen=True, kw_only=True)
class Broken(GRPO):
    """Gives back what a test tells it to."""

    name = "broken"

    def credit(self, batch: Batch) -> Credit:
        return self.made(batch)


@dataclass(frozen=True, kw_only=True)
class BrokenCritic(PPO):
    """The same, with a critic."""

    name = "broken"

    def credit(self, batch: Batch) -> Credit:
        return self.made(batch)


def making(cls, made):
    """An algorithm whose credit is `made`, or what it gives for the batch."""
    function = made if callable(made) else lambda batch: made
    return type(cls.__name__, (cls,), {"made": staticmethod(function)})()


def returning(*arrays: object) -> Credit:
    return Credit(ONES, *arrays)


FAULTS = {
    "nothing": (Broken, None, "is a NoneType, not a Credit"),
    "an array": (Broken, ONES, "is a ndarray, not a Credit"),
    "a list": (Broken, Credit([1.0] * TOKENS), "advantage_T as an array of floats, not a list"),
    "no advantage": (Broken, Credit(None), "advantage_T as an array of floats, not a NoneType"),
    "whole numbers": (Broken, Credit(np.ones(TOKENS, int)), "array of floats, not an array of int64"),
    "too short": (Broken, Credit(ONES[1:]), r"one advantage_T per token, shape \(4,\), not \(3,\)"),
    "one per step": (Broken, Credit(np.ones(3)), r"shape \(4,\), not \(3,\)"),
    "a matrix": (Broken, Credit(np.ones((TOKENS, 1))), r"shape \(4,\), not \(4, 1\)"),
    "NaN": (Broken, Credit(NAN), "is not finite: advantage_T"),
    "infinite": (Broken, Credit(ONES * np.inf), "is not finite: advantage_T"),
    "trained tokens": (Broken, Credit(ONES, trained_N=ALL), r"trained_N per trajectory, shape \(2,\)"),
    "trained as numbers": (Broken, Credit(ONES, trained_N=np.ones(2)), "trained_N as an array of booleans"),
    "diagnostics in a list": (Broken, Credit(ONES, diagnostics=[1.0]), "diagnostics as a dictionary"),
    "a diagnostic in words": (Broken, Credit(ONES, diagnostics={"a": "b"}), "not 'a': 'b'"),
    "a diagnostic of NaN": (Broken, Credit(ONES, diagnostics={"a": np.nan}), "not finite: the diagnostic a"),
    "a critic's targets": (Broken, returning(ONES, ALL), "neither return_T nor critic_T"),
    "no targets": (BrokenCritic, returning(), "both return_T and critic_T, as .*baseline is token_critic"),
    "targets nowhere": (BrokenCritic, returning(ONES), "both return_T and critic_T"),
    "short targets": (BrokenCritic, returning(ONES[1:], ALL), r"return_T per token, shape \(4,\)"),
    "NaN targets": (BrokenCritic, returning(NAN, ALL), "is not finite: return_T"),
    "an error": (
        Broken,
        lambda batch: batch.reward_S[99],
        r"failed: IndexError: index 99 .*test_checked\.py:\d",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_one_line_with_the_algorithms_name(name):
    cls, made, words = FAULTS[name]
    with pytest.raises(CreditError, match=f"^the credit of algorithm broken .*{words}") as error:
        checked_credit(making(cls, made), batch())
    assert "\n" not in str(error.value)


def test_targets_may_be_anything_where_the_critic_is_not_trained():
    made = Credit(ONES, NAN, np.array([True, False, True, True]))
    assert checked_credit(making(BrokenCritic, made), batch()) is made


def test_a_run_that_has_diverged_is_not_the_algorithms_fault():
    with pytest.raises(FloatingPointError, match="value_T: not finite, the run has diverged"):
        checked_credit(PPO(), replace(batch(), value_T=NAN))


@pytest.fixture
def records():
    return read_trajectories(text(complete()).encode().splitlines(), "in.jsonl")


SHORT = Credit(ONES)
"""As long as another batch's tokens."""


def test_the_command_line_prints_one_line(tmp_path, capsys, monkeypatch):
    (tmp_path / "in.jsonl").write_text(text(complete()))
    monkeypatch.setattr(command, "chosen", lambda names, settings: [making(Broken, SHORT)])
    assert command.main([str(tmp_path / "in.jsonl"), "--algorithms", "broken"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: the credit of algorithm broken must have one advantage_T per token")
    assert printed.err.count("\n") == 1


def test_the_viewer_leaves_out_that_algorithm_alone(records):
    entrants = [Entrant(name, made) for name, made in (("bad", making(Broken, SHORT)), ("good", GRPO()))]
    shown = checkpoint(records, entrants)
    assert [column["name"] for column in shown["columns"]] == ["exact", "good"]
    [missing] = shown["missing"]
    assert missing["name"] == "bad"
    assert missing["reason"].startswith("the credit of algorithm broken must have one advantage_T per token")


def test_training_stops_with_the_same_line(tmp_path):
    cell = compose_run(
        [
            *("algorithm=grpo", "batch.trajectories=16", "batch.minibatches=1", "model.clone_updates=1"),
            *("env.horizon=6", "env.train_tasks=2", "env.eval_tasks=1", "evaluation.episodes=1"),
            *("evaluation.points=1", "evaluation.window=1", "budget.axis=tokens", "budget.limit=400"),
        ]
    )
    run = Run(cell, RunDir.create(tmp_path / "run", cell), tmp_path / "warm-start")
    run.trainer.algorithm = making(Broken, SHORT)
    with pytest.raises(
        CreditError, match="the credit of algorithm broken must have one advantage_T per token"
    ):
        run.finish()
