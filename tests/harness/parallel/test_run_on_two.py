"""Whole cells on two ranks, two real processes over gloo: play and account of one, nothing lost, no hang."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

import harness.launch.worker as worker
import harness.parallel.peers as peers
from harness.compose import compose_run
from harness.config import RunConfig
from harness.errors import UserError
from harness.launch import FAILED
from harness.ledger import Phase
from harness.parallel.peers import ranks_of
from harness.policy.source import check
from harness.rollout.engines import check_engine
from harness.run import Run, Stopped
from harness.store import RunDir, read_json
from tests.harness.test_run import SMALL

pytestmark = pytest.mark.slow
PPO = ["algorithm=ppo", "model.schedule=linear", "budget.limit=8e9", "env.horizon=8"]
APPO = ["algorithm=appo", "batch.trajectories=32", "batch.minibatches=2", "env.horizon=8"]
PREFILL = {Phase.prefill_new.value, Phase.prefill_cached.value}


def config(*overrides: str, gpus: int = 2) -> RunConfig:
    return compose_run([*SMALL, *overrides, f"model.gpus={gpus}"])


def finish(cell: RunConfig, out: Path, iterations: int = 1000) -> tuple[RunDir, list]:
    """Run the cell, or only some iterations of it; its directory, and what its first iteration played."""
    run_dir, first = RunDir.create(out, cell), []
    with ranks_of(cell, run_dir, out, failed=pytest.fail) as ranks:
        run = Run(cell, run_dir, out, ranks=ranks)
        play = run.sampler.play_branches

        def kept(*args, **kwargs):
            trajectories, current_T = play(*args, **kwargs)
            if run.iteration == 0:
                first.extend(trajectories)
            return trajectories, current_T

        run.sampler.play_branches = kept
        run.finish(lambda: run.iteration >= iterations)
    return run_dir, first


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def calm(out) -> tuple[RunDir, list]:
    return finish(config(*PPO), out)


def lines(run_dir: RunDir) -> list[dict]:
    return [json.loads(line) for line in run_dir.metrics.open()]


def check_same(one: tuple[RunDir, list], two: tuple[RunDir, list]) -> None:
    assert one[1]
    for mine, other in zip(one[1], two[1], strict=True):
        assert (mine.task_id, mine.group, mine.rollout) == (other.task_id, other.group, other.rollout)
        assert (mine.success, mine.branch) == (other.success, other.branch)
        for step, same in zip(mine.steps, other.steps, strict=True):
            assert (step.prompt_ids, step.response_ids) == (same.prompt_ids, same.response_ids)
            assert step.logprob_L == pytest.approx(same.logprob_L, abs=1e-5)
    for mine, other in zip(lines(one[0]), lines(two[0]), strict=True):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            close = value if isinstance(value, str) else pytest.approx(value, rel=1e-3, abs=1e-5)
            assert other[name] == close, f"{name}, iteration {mine['iteration']}"
    ledgers = [read_json(run_dir.result)["ledger"] for run_dir, _ in (one, two)]
    phases = [ledger.pop("phases") for ledger in ledgers]
    assert ledgers[0] == ledgers[1]
    nominal = [
        {name: (e["tokens"], e["flops"]) for name, e in each.items() if name not in PREFILL}
        for each in phases
    ]
    assert nominal[0] == nominal[1]
    # What one rank's cache has, another one reads anew: the two phases share one nominal sum differently.
    read = [[sum(each[name][what] for name in PREFILL) for what in ("tokens", "flops")] for each in phases]
    assert read[0] == read[1]


def test_two_ranks_play_and_account_as_one_does(out, calm):
    check_same(finish(config(*PPO, gpus=1), out), calm)


def test_branches_are_played_where_their_roots_were(out):
    one, two = (finish(config(*APPO, gpus=gpus), out) for gpus in (1, 2))
    assert any(trajectory.branch for trajectory in one[1])
    check_same(one, two)


def test_a_stopped_run_goes_on_with_the_same_bytes(tmp_path, calm):
    cell = config(*PPO)
    with pytest.raises(Stopped):
        finish(cell, tmp_path, iterations=1)
    stopped = RunDir.create(tmp_path, cell)
    assert not stopped.result.exists()
    assert stopped.complete_checkpoints()[-1].name == "1"
    again, _ = finish(cell, tmp_path)
    assert again.metrics.read_bytes() == calm[0].metrics.read_bytes()
    assert again.result.read_bytes() == calm[0].result.read_bytes()


def test_a_killed_rank_fails_the_run_with_its_reason(tmp_path, monkeypatch):
    cell = config(*PPO, "budget.limit=1e15")
    started = []
    popen = subprocess.Popen

    def noting(*args, **kwargs):
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(peers.subprocess, "Popen", noting)
    run_dir = RunDir.create(tmp_path, cell)

    def kill() -> None:
        wait_for(lambda: run_dir.metrics.exists() and len(lines(run_dir)) > 2)
        started[0].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    status = worker.attempt(cell, run_dir, tmp_path, 60.0, None, stopping=lambda: False)
    killer.join()
    assert status == FAILED
    assert read_json(run_dir.failure)["reason"] == "PeerFailed: rank 1: killed by signal 9"


def test_a_failed_ranks_reason_is_waited_for(tmp_path, monkeypatch):
    """As on a busy machine: the process is gone a while before the thread that waits for it wakes up."""

    class Late(subprocess.Popen):
        def wait(self, timeout=None):
            code = super().wait(timeout)
            time.sleep(1)
            return code

    monkeypatch.setattr(peers.subprocess, "Popen", Late)
    with (tmp_path / "log.txt").open("w") as log:
        failing = peers.Peers([{"rank": 1}], log, failed=pytest.fail)
        try:
            failing.await_end(240)
            assert failing.reason == "rank 1: KeyError: 'config'"
        finally:
            failing.end()


def test_a_rank_ends_with_the_first_one(tmp_path):
    overrides = [*SMALL, *PPO, "budget.limit=1e15", "model.gpus=2"]
    first = subprocess.Popen([sys.executable, "-m", "harness.run", *overrides], cwd=tmp_path)
    run_dir = RunDir.create(tmp_path / "runs/single", compose_run(overrides))
    try:
        wait_for(lambda: first.poll() is not None or (run_dir.metrics.exists() and len(lines(run_dir)) > 1))
        assert first.poll() is None, "it ended before it was killed"
        (peer,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        first.send_signal(signal.SIGKILL)
        first.wait()
        wait_for(lambda: not Path(f"/proc/{peer}").exists() or "Z" in state_of(peer))
    finally:
        first.kill()


def state_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def wait_for(condition, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_fewer_devices_than_asked_for_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    with pytest.raises(UserError, match=r"model\.gpus=8: torch finds 4 here: choose model\.gpus=4"):
        check(config("algorithm=grpo", "model.device=auto", gpus=8).model)


def test_vllm_and_no_device_are_refused():
    with pytest.raises(UserError, match=r"engine=vllm .* model.gpus=2: choose engine=torch"):
        check_engine(config("algorithm=grpo", "engine=vllm", "model.width=128"))
    with pytest.raises(UserError, match=r"model\.gpus=0 must be at least 1"):
        config("algorithm=grpo", gpus=0)
