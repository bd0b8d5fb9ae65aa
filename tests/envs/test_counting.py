"""Games of other packages in the harness: planned, examined, branched; what fails is one line."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest

from algorithms.base import BranchPoint
from envs import play
from harness import doctor
from harness.checkup import Verdict
from harness.checkup.play import environments
from harness.compose import compose_run
from harness.config import TinyModel
from harness.errors import UserError
from harness.ledger import Ledger, Phase
from harness.planning.predict import check_budget
from harness.policy.model import closed_forms, new_policy
from harness.policy.text import Prompts
from harness.rollout.account import Account
from harness.rollout.branching import continuation
from harness.rollout.environments import EnvironmentPool
from harness.rollout.episodes import Episode, Player
from harness.rollout.torch_engine import TorchEngine
from tests.envs.counting import CountingSpec

BROKEN = {
    "a game that does not start": (CountingSpec(begins="none"), "ValueError: invalid literal for int()"),
    "a package that is missing": (type("Missing", (CountingSpec,), {"engine": "no_such:Game"})(), "no_such"),
}


def workers() -> int:
    """Worker processes of this process that are there."""
    gc.collect()
    children = Path(f"/proc/self/task/{Path('/proc/self').resolve().name}/children").read_text().split()
    commands = [Path(f"/proc/{child}/cmdline").read_bytes() for child in children]
    return sum(b"envs.engines.serve" in command for command in commands)


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert workers() == 0


@pytest.mark.parametrize("broken", BROKEN)
def test_a_plan_refuses_what_does_not_start(broken):
    env, words = BROKEN[broken]
    with pytest.raises(UserError, match="task counting-train-0 of env=counting does not start: ") as error:
        check_budget(replace(compose_run(["env=vault"]), env=env))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("broken", BROKEN)
def test_the_doctor_names_what_does_not_start_and_goes_on(broken):
    env, words = BROKEN[broken]
    cell = compose_run(["env=vault"])
    bad, good = environments([replace(cell, env=env), cell])
    assert (bad.verdict, good.verdict) == (Verdict.fail, Verdict.ok)
    assert words in bad.text


@pytest.mark.parametrize(
    ("command", "words"),
    [("die", "its process ended with 3: the last words"), ("raise", "ValueError: a bad command")],
)
def test_the_doctor_names_what_fails_in_play(command, words):
    cell = replace(compose_run(["env=vault"]), env=CountingSpec(offered=(command,)))
    (found,) = doctor.examine({"environment": lambda: environments([cell])})
    assert found.verdict is Verdict.fail
    assert str(found).count("\n") == 0
    assert words in found.text


def test_a_game_that_fails_a_player_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(play, "compose_environment", lambda words: CountingSpec(offered=("die",)))
    monkeypatch.setattr("builtins.input", lambda prompt: "die")
    assert play.main(["counting"]) == 1
    assert capsys.readouterr().err == "error: counting failed: its process ended with 3: the last words\n"


def test_a_continuation_of_a_game_is_the_original():
    """At every step the branch's environment goes on as its parent's did, and no engine plays anything."""
    spec = CountingSpec(horizon=6)
    prompts, pool, game = Prompts(spec), EnvironmentPool(spec), spec.game("0")
    policy = new_policy(TinyModel(), spec, prompts.vocabulary_size, seed=1)
    engine = TorchEngine(policy, prompts.end_id, spec.max_prompt_tokens, spec.max_action_tokens)
    parent = Episode(spec.training_panel()[0], group=0, rollout=0, seed=0)
    account = Account(Ledger(), closed_forms(policy, policy.config), Phase.decode)
    Player(engine, prompts, pool, seed=5).play([parent], "rollout", account, keep_snapshots=True)
    assert len(parent.steps) == spec.horizon
    played = game.played
    for start in range(spec.horizon):
        branch, replayed = continuation(parent, BranchPoint(0, start, 0), start + 1, pool)
        assert replayed == 0
        for number in range(start, spec.horizon):
            step = parent.steps[number]
            assert branch.environment.state_key == step.state_key
            seen = branch.environment.step(step.action)
            assert (seen.reward, seen.info.valid) == (step.reward, step.valid)
            if number + 1 < spec.horizon:
                assert seen.observation == parent.snapshots[number + 1].observation
                assert seen.info == parent.snapshots[number + 1].info
            assert seen.truncated == (number + 1 == spec.horizon)
    assert game.played == played
    assert {step.valid for step in parent.steps} == {True, False}, "both kinds of step were taken"
    pool.close()
