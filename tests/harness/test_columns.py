"""The table of columns, and those who fill them."""

import gzip
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

from algorithms.controls import Constant
from harness.compose import compose_run
from harness.errors import UserError
from harness.ledger import Ledger, Phase
from harness.planning.predict import predict
from harness.policy.columns import FILLERS
from harness.policy.rows import Rows
from harness.records import Batch
from harness.records.batch import COLUMNS, OPTIONAL_COLUMNS, described
from harness.records.columns import Moment
from harness.records.files import COLUMN_KEYS, GIVEN_COLUMNS, read_trajectories
from harness.run import Run
from harness.store import RunDir

SMALL = ["batch.trajectories=32", "batch.minibatches=2", "model.clone_updates=20", "env.train_tasks=2",
         "env.eval_tasks=1", "env.horizon=6", "evaluation.episodes=2"]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Compared(Constant):
    """Reads the start policy's log-probabilities and has no KL."""

    name = "compared"
    reads = ("reference_logprob_T",)


@dataclass(frozen=True, kw_only=True)
class Valued(Constant):
    """Reads a critic's values and has no critic."""

    name = "valued"
    reads = ("value_T",)


@dataclass(frozen=True, kw_only=True)
class Mistyped(Constant):
    """Reads what there is not."""

    name = "mistyped"
    reads = ("reference_logprobs_T",)


def started(folder: Path, *overrides: str, algorithm: object = None) -> Run:
    cell = compose_run([*SMALL, *overrides])
    cell = replace(cell, algorithm=algorithm) if algorithm else cell
    return Run(cell, RunDir.create(folder, cell), folder)


def with_columns(run: Run) -> Batch:
    roots = run.sampler.play_roots(range(run.config.tasks_per_iteration))
    played, _ = run.sampler.play_branches(roots, sampler_is_current=True)
    return run.trainer._with_columns(run.sampler.batch(played), played)


def test_somebody_fills_every_column_that_credit_may_ask_for():
    known_from_play = {f.name for f in fields(Batch)} - {*OPTIONAL_COLUMNS} | {"observation_S"}
    # The trainer fills it: it changes from mini-batch to mini-batch.
    filled = known_from_play | FILLERS.keys() | {"current_logprob_T"}
    assert {*COLUMN_KEYS, *GIVEN_COLUMNS} <= filled
    assert FILLERS.keys() <= {*COLUMN_KEYS} & {*OPTIONAL_COLUMNS}
    assert len(set(COLUMN_KEYS.values())) == len(COLUMN_KEYS)


def test_a_column_that_files_lack_is_only_for_branch_points():
    never = COLUMNS.keys() - COLUMN_KEYS.keys() - GIVEN_COLUMNS
    assert {COLUMNS[name].moment for name in never} == {Moment.previous}


def test_a_typing_error_is_one_line_before_anything_starts():
    cell = compose_run(SMALL)
    with pytest.raises(UserError, match=r"reference_logprobs_T is not a column.*mean reference_logprob_T"):
        replace(cell, algorithm=Mistyped())
    with pytest.raises(UserError, match="there are state_S, uniform_S"):
        described(["xyz"])


def test_the_start_policy_is_kept_where_credit_alone_reads_it(tmp_path):
    """No KL asks for it. Before any update it is the policy that sampled."""
    run = started(tmp_path, algorithm=Compared())
    batch = with_columns(run)
    np.testing.assert_allclose(batch.reference_logprob_T, batch.logprob_T, atol=1e-5)
    spent = run.ledger.entries[Phase.score_reference].flops
    bare = replace(run.config, algorithm=Constant())
    assert 0 < spent <= 1.1 * (predict(run.config).flops - predict(bare).flops)


def test_an_algorithm_that_reads_what_the_run_cannot_tell_stops(tmp_path):
    with pytest.raises(RuntimeError, match="valued reads value_T, which this run can't tell"):
        with_columns(started(tmp_path, algorithm=Valued()))


def test_too_many_situations_stop_the_oracle_and_no_recording(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.policy.exact.MOST_SITUATIONS", 5)
    oracle = started(tmp_path, "algorithm=oracle")
    with pytest.raises(UserError, match="more than 5 situations"):
        with_columns(oracle)
    run = started(tmp_path, "algorithm=grpo")
    run._evaluate(0)
    [file] = run.run_dir.trajectories.iterdir()
    records = read_trajectories(gzip.decompress(file.read_bytes()).splitlines(), "file")
    given = {key for record in records for step in record.steps for key in step.given}
    assert "reference_logprobs" in given
    assert "true_advantage" not in given


def test_what_a_pass_is_booked_as():
    """Nominal is every row whole; computed is what they share once; equal rows count once if asked."""

    def form(lengths, linear: int | None = None, predicted: int | None = None) -> int:
        assert predicted in (None, rows.predicted)
        return 1000 * (sum(lengths) if linear is None else linear) + sum(each**2 for each in lengths)

    rows = Rows.of([((1, 2), (3, 4)), ((1, 2), (3, 4)), ((1, 2), (5,)), ((1, 2), (3,))])
    assert rows.cost(form) == (4 + 4 + 3 + 3, 14_000 + 16 + 16 + 9 + 9, 5_000 + 16 + 9)
    assert rows.cost(form, distinct=True) == (10, 10_000 + 16 + 9 + 9, 5_000 + 16 + 9)


def test_a_ledger_of_a_version_with_fewer_phases_goes_on():
    plain = Ledger().to_plain()
    del plain["phases"]["column_scoring"]
    ledger = Ledger()
    ledger.load(plain)
    ledger.add(Phase.column_scoring, 1, 2)
    assert ledger.spent("flops") == 2
