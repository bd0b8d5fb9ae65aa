"""Overlap: which weights play, what is booked and when, and what becomes of a run that fails or is stopped.

That an interrupted run ends with the bytes of a calm one is tested with the others', in `test_run.py` and in
`tests/faults`.
"""

import json
import threading
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from envs.base import Task
from envs.vault import Vault, VaultSpec
from harness.compose import compose_run
from harness.config import RunConfig
from harness.errors import UserError
from harness.ledger import Phase
from harness.policy.model import fingerprint
from harness.records import Trajectory
from harness.rollout.sampler import MOST_ROLLOUTS
from harness.run import Run, Stopped
from harness.store import RunDir
from tests.faults.cells import SMALL

FAST = ["model.lr=0.03", "algorithm.entropy_coef=0.1", "rollout.overlap=true", "budget.limit=34"]
"""The policy moves far in every update, so that it matters which one played; three iterations."""
BRANCHES = ["batch.trajectories=32", "budget.limit=68"]


@pytest.fixture(scope="module")
def warm_starts(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("warm")


def config(*overrides: str) -> RunConfig:
    return compose_run(["algorithm=grpo", *SMALL, *FAST, *overrides])


def new_run(config: RunConfig, out: Path, warm_starts: Path) -> Run:
    return Run(config, RunDir.create(out, config), warm_starts)


def lines(run: Run, kind: str = "train") -> list[dict]:
    return [row for row in map(json.loads, run.run_dir.metrics.open()) if row["kind"] == kind]


def times(run: Run) -> list[dict]:
    return [row for row in map(json.loads, run.run_dir.timing.open()) if "update" in row]


@torch.no_grad()
def rescored(model, trajectories: list[Trajectory]) -> np.ndarray:
    """Log-probabilities of all sampled tokens by plain passes of transformers, a row at a time."""
    found, theirs = [], model.as_transformers()
    for step in (step for trajectory in trajectories for step in trajectory.steps):
        ids = torch.tensor([[*step.prompt_ids, *step.response_ids]])
        logits = theirs(input_ids=ids).logits[0, len(step.prompt_ids) - 1 : -1]
        found += logits.double().log_softmax(-1)[range(len(step.response_ids)), step.response_ids].tolist()
    return np.array(found)


@pytest.mark.parametrize(("algorithm", "more"), [("ppo", []), ("arpo", BRANCHES)])
def test_rollouts_come_from_the_policy_before_the_last_update(algorithm, more, tmp_path, warm_starts):
    """Branches too: a group is one policy's. `weights[k]`: what iteration k's update starts from."""
    run = new_run(config(f"algorithm={algorithm}", *more), tmp_path, warm_starts)
    weights, played = [], []
    train = run.trainer.train

    def watched(batch, trajectories, *others):
        weights.append(deepcopy(run.learner.policy))
        played.append(trajectories)
        return train(batch, trajectories, *others)

    run.trainer.train = watched
    run.finish()
    assert len(weights) == 3
    assert [row["staleness"] for row in lines(run)] == [0, *[1] * (len(weights) - 1)]
    for iteration, trajectories in enumerate(played):
        sampled = np.concatenate([step.logprob_L for t in trajectories for step in t.steps])
        behaviour, current = weights[max(0, iteration - 1)], weights[iteration]
        np.testing.assert_allclose(rescored(behaviour, trajectories), sampled, atol=1e-5)
        if iteration:
            assert np.abs(rescored(current, trajectories) - sampled).max() > 0.01
        assert any(t.branch for t in trajectories) == (algorithm == "arpo")


def test_off_nothing_is_noted_and_on_the_first_iteration_is_the_same(tmp_path, warm_starts):
    on, off = (
        new_run(config(f"rollout.overlap={overlap}"), tmp_path, warm_starts) for overlap in (True, False)
    )
    for run in (on, off):
        run.finish()
    first, *_ = lines(on)
    assert first.pop("staleness") == 0
    assert first == lines(off)[0]
    assert not any("staleness" in row for row in lines(off))
    assert set(times(on)[0]) - set(times(off)[0]) == {"rollout_hidden"}
    assert off.ledger.entries[Phase.unused].flops == 0
    assert on.run_dir.path != off.run_dir.path


def test_the_budget_counts_what_is_trained_on_and_the_ledger_the_rest(tmp_path, warm_starts):
    run = new_run(config(), tmp_path, warm_starts)
    trained: list[Trajectory] = []
    train = run.trainer.train

    def watched(batch, trajectories, *others):
        trained.extend(trajectories)
        return train(batch, trajectories, *others)

    run.trainer.train = watched
    run.finish()
    steps = [step for trajectory in trained for step in trajectory.steps]
    assert run.ledger.spent("tokens") == sum(len(step.response_ids) for step in steps)
    assert run.ledger.spent("env_steps") == len(steps)
    assert run.ledger.spent("trajectories") == len(trained)
    unused, phases = run.ledger.entries[Phase.unused], run.ledger.entries
    rollouts = sum(phases[phase].tokens for phase in (Phase.prefill_new, Phase.prefill_cached, Phase.decode))
    assert 0.5 < unused.tokens / (rollouts / run.iteration) < 2, "one rollout, of the usual size"


def test_seconds_are_counted_once(tmp_path, warm_starts):
    run = new_run(config(), tmp_path, warm_starts)
    run.finish()
    rows = times(run)
    assert run.seconds == pytest.approx(sum(row["rollout"] + row["update"] for row in rows))
    assert all(0 < row["rollout_hidden"] <= row["update"] for row in rows)
    assert all({"decode", "actor_train"} <= set(row["phases"]) for row in rows)


def test_a_stopped_run_plays_again_what_was_in_hand(tmp_path, warm_starts):
    """With the weights that had played it, which the checkpoint keeps; outside the budget's seconds."""
    cell = config()
    calm, stopped = new_run(cell, tmp_path / "calm", warm_starts), new_run(cell, tmp_path, warm_starts)
    calm.finish()
    with pytest.raises(Stopped):
        stopped.finish(lambda: stopped.iteration == 2)
    assert not playing()
    resumed = new_run(cell, tmp_path, warm_starts)
    resumed.finish()
    assert resumed.run_dir.metrics.read_bytes() == calm.run_dir.metrics.read_bytes()
    assert resumed.run_dir.result.read_bytes() == calm.run_dir.result.read_bytes()
    again = [row["iteration"] for row in times(resumed) if "rollout_again" in row]
    assert again == [3]
    assert resumed.seconds == pytest.approx(sum(row["rollout"] + row["update"] for row in times(resumed)))


def playing() -> bool:
    """Whether a rollout is still being played."""
    return any(thread.name == "rollout" for thread in threading.enumerate())


@dataclass(frozen=True)
class RefusingSpec(VaultSpec):
    """A vault that plays no episode from this seed on."""

    first: int = 0

    def make(self) -> "Refusing":
        return Refusing(self)


class Refusing(Vault):
    spec: RefusingSpec

    def reset(self, task: Task, seed: int = 0):
        if seed >= self.spec.first:
            raise UserError("env.rooms: there is no such game")
        return super().reset(task, seed)


def refusing(iteration: int) -> RunConfig:
    """Episodes of this iteration, and of all after it, are refused."""
    cell = config("model.clone_updates=0")  # random play of a warm start has any seed
    first = iteration * cell.tasks_per_iteration * MOST_ROLLOUTS
    return replace(cell, env=RefusingSpec(**vars(cell.env), first=first))


def test_what_fails_ahead_fails_the_run_with_its_traceback(tmp_path, warm_starts):
    run = new_run(refusing(iteration=2), tmp_path, warm_starts)
    with pytest.raises(UserError, match="there is no such game") as failure:
        run.finish()
    assert "play_roots" in {entry.name for entry in failure.traceback}
    assert len(lines(run)) == 1, "the iteration in which it was played wrote nothing"
    assert not playing()


def test_a_failing_update_waits_for_the_rollout_and_hides_nothing(tmp_path, warm_starts):
    """Both fail: both are in the traceback."""
    run = new_run(refusing(iteration=1), tmp_path, warm_starts)
    with torch.no_grad():
        run.learner.policy_optimizer.trained[0].register_hook(lambda grad: grad * torch.nan)
    with pytest.raises(UserError, match="there is no such game") as failure:
        run.finish()
    assert isinstance(failure.value.__context__, FloatingPointError)
    assert not playing()


def test_evaluations_leave_the_rollout_in_hand_alone(tmp_path, warm_starts):
    run = new_run(config(), tmp_path, warm_starts)
    run._resume()
    run._iterate()
    behaviour, current = fingerprint(run.ahead.policy), fingerprint(run.learner.policy)
    assert behaviour != current
    run._evaluate(1)
    assert (fingerprint(run.ahead.policy), fingerprint(run.learner.policy)) == (behaviour, current)
    played = run.ahead.take(range(0)).trajectories
    sampled = np.concatenate([step.logprob_L for t in played for step in t.steps])
    np.testing.assert_allclose(rescored(run.ahead.policy, played), sampled, atol=1e-5)
