"""Generation, episodes and branching on the real model and environment."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms.base import BranchPoint
from envs.vault import Vault
from harness.policy.rows import Rows, logprobs, rows_of
from harness.policy.text import Prompts
from harness.rollout.branching import continuation
from harness.rollout.engine import Request
from harness.rollout.episodes import Episode
from harness.rollout.sampling import sample
from tests.harness.conftest import SPEC


def test_recorded_logprobs_are_the_models(player, policy, prompts, roots, account):
    player.play(roots, "rollout", account)
    steps = [step for episode in roots for step in episode.steps]
    logprob_T, entropy_T = logprobs(policy, Rows.of(rows_of(steps)))
    np.testing.assert_allclose(logprob_T.detach(), np.concatenate([s.logprob_L for s in steps]), atol=1e-5)
    np.testing.assert_allclose(entropy_T.detach(), np.concatenate([s.entropy_L for s in steps]), atol=1e-5)


def test_a_row_does_not_depend_on_its_batch(player):
    requests = [Request((2, 5) + (7,) * n, (), (n, 0, 0)) for n in range(1, 9)]
    together, usage = player.engine.generate(requests, 1, "rollout")
    for request, generation in zip(requests, together, strict=True):
        (alone,), _ = player.engine.generate([request], 1, "rollout")
        assert alone.ids == generation.ids
        np.testing.assert_allclose(alone.logprobs, generation.logprobs, atol=1e-5)
    assert usage.sampled == sum(len(generation.ids) for generation in together)
    assert len(usage.decode) == usage.sampled - len(requests), "every token but the last is fed back"


def test_sampling_follows_the_distribution():
    probability = torch.tensor([0.0, 1.0, 2.0, -1.0]).softmax(-1)
    index = torch.zeros(20000, dtype=torch.long)
    uniform = (torch.arange(20000, dtype=torch.float64) + 0.5) / 20000
    share = torch.bincount(sample(probability[None], index, uniform), minlength=4) / 20000
    torch.testing.assert_close(share, probability, atol=1e-4, rtol=0)
    assert sample(probability[None], index[:2], torch.full([2], torch.nan)).tolist() == [2, 2]


def test_same_seed_same_episodes(player, roots, account):
    player.play(roots, "rollout", account)
    again = [Episode(e.task, e.group, e.rollout, e.seed) for e in roots]
    player.play(again, "rollout", account)
    assert [e.trajectory().steps[-1].response_ids for e in again] == [
        e.trajectory().steps[-1].response_ids for e in roots
    ]
    other = [Episode(e.task, e.group + 100, e.rollout, e.seed) for e in roots]
    player.play(other, "rollout", account)
    assert [s.response_ids for e in other for s in e.steps] != [
        s.response_ids for e in roots for s in e.steps
    ]


class Uncopyable(Vault):
    """A vault that only replay can restore."""

    def copy(self):
        return None


class Amnesiac(Uncopyable):
    """A vault that resets into another task: it can't be branched."""

    def reset(self, task, seed=0):
        other = SPEC.task("eval", getattr(self, "resets", 0))
        self.resets = getattr(self, "resets", 0) + 1
        return super().reset(other, seed)


@pytest.mark.parametrize("kind", [Vault, Uncopyable])
def test_branches_keep_the_prefix_and_restore_the_state(kind, player, roots, monkeypatch, account):
    monkeypatch.setattr(type(SPEC), "make", lambda spec: kind(spec))
    player.play(roots, "rollout", account, keep_snapshots=True)
    parent = roots[0]
    point = BranchPoint(0, 4, 1)
    branch, replayed = continuation(parent, point, rollout=3, pool=player.pool)
    assert replayed == (0 if kind is Vault else 4)
    player.play([branch], "rollout", account)
    assert branch.steps[:4] == parent.steps[:4]
    mine, theirs = branch.steps[4], parent.steps[4]
    assert mine.prompt_ids == theirs.prompt_ids
    assert mine.state_key == theirs.state_key
    assert mine.response_ids[:1] == theirs.response_ids[:1]
    assert mine.logprob_L[0] == theirs.logprob_L[0]
    assert len(mine.logprob_L) == len(mine.response_ids)
    assert parent.trajectory().branch is None
    assert branch.trajectory().branch.token == 1
    assert len(branch.steps) <= SPEC.horizon


def test_an_environment_that_does_not_come_back_is_refused(player, roots, monkeypatch, account):
    monkeypatch.setattr(type(SPEC), "make", lambda spec: Amnesiac(spec))
    player.play(roots[:1], "rollout", account, keep_snapshots=True)
    with pytest.raises(RuntimeError, match="replay of 5 actions gave another observation"):
        continuation(roots[0], BranchPoint(0, 5, 0), 3, player.pool)


class Forgetful(Vault):
    """A vault whose copies are in another state."""

    def copy(self):
        twin = super().copy()
        twin.room = (self.room + 1) % len(self.layout.names)
        return twin


def test_a_copy_in_another_state_is_refused(player, roots, monkeypatch, account):
    monkeypatch.setattr(type(SPEC), "make", lambda spec: Forgetful(spec))
    player.play(roots[:1], "rollout", account, keep_snapshots=True)
    with pytest.raises(RuntimeError, match="can't be branched"):
        continuation(roots[0], BranchPoint(0, 2, 0), 3, player.pool)


def test_continuations_can_be_continued(player, roots, account):
    player.play(roots[:1], "rollout", account, keep_snapshots=True)
    first, _ = continuation(roots[0], BranchPoint(0, 3, 0), 3, player.pool)
    player.play([first], "rollout", account, keep_snapshots=True)
    assert len(first.snapshots) == len(first.steps)
    second, _ = continuation(first, BranchPoint(1, len(first.steps) - 1, 0), 4, player.pool)
    player.play([second], "rollout", account)
    assert second.steps[: len(first.steps) - 1] == first.steps[:-1]


def test_prompts_drop_the_oldest_history_first():
    prompts = Prompts(replace(SPEC, history=2, max_prompt_tokens=12))
    past = [("in hall", "look"), ("see key", "take key")]
    text = prompts.texts(prompts.prompt("", past, "hold key"))
    pair = ["<obs>", "see", "key"]
    assert text == ["<begin>", *pair, "<act>", "take", "key", "<obs>", "hold", "key", "<act>"]
    assert len(prompts.prompt("", past, "hold " * 50)) == 12
    assert prompts.read(prompts.response("take key")).action == "take key"
