"""`env.thought=K`: K free words before each action, sampled and trained, ignored by the world."""

import json
import math
from collections import Counter

import numpy as np
import pytest
import torch

from algorithms.grpo import GRPO
from envs.vault import VaultSpec
from harness.compose import compose_run
from harness.config import TinyModel
from harness.config.plain import run_config, to_plain
from harness.errors import UserError
from harness.ledger import Ledger, Phase
from harness.policy.model import closed_forms, new_policy
from harness.policy.text import Prompts
from harness.rollout.account import Account
from harness.rollout.engines import make_engine
from harness.rollout.environments import EnvironmentPool
from harness.rollout.episodes import Episode, Player
from harness.run import Run
from harness.store import RunDir, cell_id
from harness.update.apart import is_thought, means_apart
from harness.update.objective import Tokens, objective
from harness.update.warm_start import token_weights, with_thoughts
from tests.faults.cells import SMALL

THINKING = ["env.thought=3"]
K = 8
SPEC = VaultSpec(thought=K)


def test_without_thoughts_everything_keeps_its_name():
    """The hash is that of the vault before it had the option."""
    assert VaultSpec().panel_hash() == "0d2a6ee5017c4657dedc56f279aabe8ebb670e90125d65c52f2a6086a58f5d9b"
    assert "thought" not in to_plain(compose_run(["env.thought=0"]))["env"]
    assert cell_id(compose_run(["env.thought=0"])) == cell_id(compose_run([]))
    assert VaultSpec().vocabulary() == SPEC.vocabulary()[:-8]


def test_the_number_of_thoughts_is_part_of_the_environment():
    assert len({VaultSpec(thought=k).panel_hash() for k in (0, 1, 8)}) == 3
    config = compose_run(THINKING)
    assert run_config(json.loads(json.dumps(to_plain(config)))) == config
    assert cell_id(config) != cell_id(compose_run([]))
    assert config.longest_response == 3 + 4
    assert not config.env.enumerable


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["env.thought=-1"], "env.thought=-1 must be at least 0"),
        (["env.thought=8", "env.history=2"], "env.thought=8 clashes with env.history=2"),
        (["env.thought=8", "algorithm=oracle"], "algorithm=oracle needs true values"),
        (
            ["env.thought=8", "model=smollm2_135m"],
            "env.thought=8 is for model=tiny: a chat model thinks by its own",
        ),
        (["env=household", "env.thought=8"], "env.thought is not an option of HouseholdSpec"),
    ],
)
def test_what_thoughts_clash_with(overrides, words):
    with pytest.raises(UserError, match=words):
        compose_run(overrides)


def test_a_response_is_thoughts_then_the_action():
    prompts = Prompts(SPEC)
    thoughts, said = prompts.ids("go north key hm0 hm1 coin - in"), prompts.response("take key")
    assert len(thoughts) == K
    assert prompts.read((*thoughts, *said)).action == "take key"
    assert prompts.read((*thoughts[:3], prompts.end_id)).action == "", "it ends among its thoughts"
    assert prompts.read((*thoughts, prompts.end_id)).action == ""
    assert prompts.read(said).action == "", "an action in the place of thoughts is none"


def test_a_fresh_policy_says_thoughts_and_pays_for_silence_with_a_step():
    """Played by the engine: what the environment reads is what follows K tokens, whatever they are."""
    config = compose_run([f"env.thought={K}", "env.horizon=10"])
    prompts = Prompts(config.env)
    policy = new_policy(TinyModel(), config.env, prompts.vocabulary_size, seed=1)
    player = Player(make_engine(config, policy, prompts), prompts, EnvironmentPool(config.env), seed=5)
    episodes = [Episode(config.env.training_panel()[0], group=0, rollout=r, seed=r) for r in range(8)]
    player.play(episodes, "rollout", Account(Ledger(), closed_forms(policy, policy.config), Phase.decode))
    steps = [step for episode in episodes for step in episode.steps]
    early = [step for step in steps if prompts.end_id in step.response_ids[:K]]
    assert early
    assert all(step.action == "" and not step.valid for step in early)
    assert max(len(step.response_ids) for step in steps) == K + config.env.max_action_tokens


def test_cloned_thoughts_are_uniform_fresh_in_each_update_and_not_remembered():
    prompts = Prompts(SPEC)
    rows = [((2, 3), prompts.response("take key"))] * 32
    known = dict(prompts._cache)
    updates = [with_thoughts(rows, prompts, 0, update) for update in range(50)]
    assert prompts._cache == known
    assert updates[3] == with_thoughts(rows, prompts, 0, 3)
    assert updates[3] != updates[4]
    assert updates[3] != with_thoughts(rows, prompts, 1, 3)
    assert all(row[1][K:] == rows[0][1] for update in updates for row in update)
    counts = Counter(token for update in updates for _, response in update for token in response[:K])
    assert set(counts) == set(prompts.thought_ids)
    assert prompts.texts(prompts.thought_ids) == list(SPEC.thought_words)
    expected = 50 * 32 * K / 8
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi_square < 24.3, "8 words, 7 degrees of freedom: p = 0.001"


def test_thoughts_of_a_row_weigh_as_one_token():
    rows = [((1,), tuple(range(K + 3))), ((1,), tuple(range(K + 2)))]
    weight_T = token_weights(rows, np.array([0.5, 0.25], dtype=np.float32), K)
    assert weight_T.tolist() == [*[0.5 / 8] * 8, 0.5, 0.5, 0.5, *[0.25 / 8] * 8, 0.25, 0.25]
    plain = token_weights(rows, np.array([0.5, 0.25], dtype=np.float32), 0)
    assert plain.tolist() == [0.5] * 11 + [0.25] * 10


def test_thoughts_are_the_first_tokens_of_each_step():
    step_T = np.array([0, 0, 0, 1, 2, 2, 2, 2])
    assert is_thought(step_T, 2).tolist() == [True, True, False, True, True, True, False, False]


def metrics_of(thought_T: torch.Tensor | None) -> dict[str, float]:
    """Of two steps of three tokens, the first one of each a thought, made by hand."""
    log_ratio_T = torch.tensor([math.log(1.5), 0.0, math.log(0.5), 0.0, math.log(2.0), 0.0])
    old_T = torch.full((6,), -1.0)
    tokens = Tokens(
        advantage_T=torch.tensor([1.0, 3.0, -4.0, -2.0, 0.0, 5.0]),
        old_logprob_T=old_T,
        weight_T=torch.full((6,), 1 / 6),
        step_T=torch.tensor([0, 0, 0, 1, 1, 1]),
        trajectory_T=torch.zeros(6, dtype=torch.long),
        thought_T=thought_T,
    )
    entropy_T = torch.tensor([2.0, 0.1, 0.2, 1.0, 0.3, 0.4])
    return objective(GRPO(clip_low=0.2, clip_high=0.2), tokens, old_T + log_ratio_T, entropy_T, None)[1]


def test_metrics_of_thoughts_and_actions_apart():
    """k3 of a token is r - 1 - log r: .5 - log 1.5 for r = 1.5, log 2 - .5 for .5, and 1 - log 2 for 2."""
    plain = metrics_of(None)
    sums = metrics_of(torch.tensor([True, False, False, True, False, False]))
    found = means_apart(sums)
    expected = {
        "thought_kl": (0.5 - math.log(1.5)) / 2,
        "thought_clip_fraction": 1 / 2,
        "thought_entropy": 1.5,
        "thought_advantage_rms": math.sqrt((1 + 4) / 2),
        "action_kl": (math.log(2) - 0.5 + 1 - math.log(2)) / 4,
        "action_clip_fraction": 2 / 4,
        "action_entropy": 0.25,
        "action_advantage_rms": math.sqrt((9 + 16 + 0 + 25) / 4),
    }
    assert found == pytest.approx({**plain, **expected}, rel=1e-5)
    assert means_apart(plain) == plain


def test_micro_batches_add_up_and_a_kind_without_tokens_has_no_numbers():
    sums = metrics_of(torch.tensor([True, False, False, True, False, False]))
    twice = {name: 2 * value for name, value in sums.items()}
    apart = {
        name: value for name, value in means_apart(twice).items() if name.startswith(("thought", "action"))
    }
    once = means_apart(sums)
    assert apart == pytest.approx({name: once[name] for name in apart})
    assert not any(
        name.startswith("action") for name in means_apart(metrics_of(torch.ones(6, dtype=torch.bool)))
    )


def test_a_run_with_thoughts_repeats_to_the_same_bytes_and_says_its_numbers_apart(tmp_path):
    config = compose_run([*SMALL, "algorithm=steppo", *THINKING])
    whole = RunDir.create(tmp_path / "whole", config)
    with whole.lease(lost=lambda: None):
        Run(config, whole, tmp_path / "whole").finish()
    again = RunDir.create(tmp_path / "again", config)
    with again.lease(lost=lambda: None):
        Run(config, again, tmp_path / "again").finish()
    assert whole.metrics.read_bytes() == again.metrics.read_bytes()
    lines = [json.loads(line) for line in whole.metrics.read_text().splitlines()]
    trained = [line for line in lines if line["kind"] == "train"]
    assert trained
    for line in trained:
        assert line["thought_kl"] >= -1e-6
        assert 0 < line["thought_entropy"] <= math.log(Prompts(config.env).vocabulary_size)
        assert {"action_kl", "action_clip_fraction", "action_advantage_rms"} <= set(line)
    assert list(whole.trajectories.iterdir()), "recorded episodes hold thoughts, too"
