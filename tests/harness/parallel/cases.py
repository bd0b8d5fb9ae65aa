"""Updates of small random models, the same on one rank or several: `python -m tests.harness.parallel.cases`.

In float64, so that what differs is no rounding: AdamW makes steps of full size out of gradients near 0.
"""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import harness.policy.rows
from algorithms.base import Algorithm, Credit
from algorithms.capo import CAPO
from algorithms.factors import KLEstimator, KLPlace
from algorithms.grpo import GRPO
from algorithms.ppo import PPO
from harness.config import BatchConfig, ModelConfig, PretrainedModel, TinyModel
from harness.config.model import CriticKind
from harness.ledger import Ledger, Phase
from harness.policy.model import load_pretrained, new_policy, weights
from harness.ranks import Ranks, join
from harness.records import Batch, Step, StopReason, Trajectory
from harness.update.learner import Learner
from harness.update.minibatch import Minibatch
from tests.harness.conftest import SPEC
from tests.harness.policy.folders import save_model

VOCABULARY, END, LONGEST, MICRO_TOKENS = 30, 1, 40, 40
TINY = TinyModel(layers=2, width=16, heads=2, grad_clip=0.5)


@dataclass(frozen=True)
class Case:
    """An algorithm that trains a model."""

    algorithm: Algorithm
    model: ModelConfig
    architecture: str = ""
    """Of a pretrained model, which has random weights here."""


def llama(**options: Any) -> PretrainedModel:
    return PretrainedModel(source="made for the test", lr=1e-3, critic_lr=2e-3, grad_clip=0.5, **options)


KL = GRPO(kl_coef=0.1, kl_estimator=KLEstimator.k3, kl_place=KLPlace.loss, entropy_coef=0.01)
CASES = {
    "policy": Case(GRPO(kl_coef=0.0, kl_estimator=KLEstimator.none), TINY),
    "reference": Case(KL, TINY),
    "critic": Case(PPO(), TINY),
    "head": Case(PPO(), replace(TINY, critic=CriticKind.head)),
    "centred ratio": Case(CAPO(), TINY),
    "llama": Case(KL, llama(), "llama"),
    "tied, checkpointing": Case(KL, llama(checkpointing=True), "qwen2"),
    "lora": Case(KL, llama(lora_rank=2), "llama"),
}


def episodes(number: int) -> list[Trajectory]:
    """Ragged episodes, the first as long as several others: ranks have unequal numbers of passes."""
    draw = np.random.default_rng(0)

    def ids(most: int) -> tuple[int, ...]:
        return tuple(draw.integers(2, VOCABULARY, size=int(draw.integers(1, most))).tolist())

    def step() -> Step:
        response = (*ids(6), END)
        zeros = np.zeros(len(response), dtype=np.float32)
        return Step(ids(9), response, zeros, zeros, "", "", state_key="", reward=0.0, valid=True)

    lengths = [9, *draw.integers(1, 4, size=number - 1).tolist()]
    steps = [tuple(step() for _ in range(length)) for length in lengths]
    return [
        Trajectory("t", i // 2, i % 2, mine, False, StopReason.failed, 0.0) for i, mine in enumerate(steps)
    ]


def minibatch(learner: Learner, trajectories: Sequence[Trajectory], critic: bool) -> Minibatch:
    """Sampled by a policy near the learner's, credited at random."""
    draw = np.random.default_rng(1)
    batch = Batch.of(trajectories, end_id=END, vocabulary=VOCABULARY, seed=0)
    tokens = len(batch.logprob_T)
    logprob_T = draw.normal(-3.0, 0.3, tokens)
    batch = replace(batch, logprob_T=logprob_T, value_T=draw.normal(size=tokens) if critic else None)
    credit = Credit(
        draw.normal(size=tokens),
        return_T=draw.normal(size=tokens) if critic else None,
        critic_T=np.ones(tokens, dtype=bool) if critic else None,
    )
    return Minibatch.of(trajectories, batch, credit, np.ones(len(trajectories), dtype=bool))


@contextlib.contextmanager
def in_double_and_chunks() -> Iterator[None]:
    """With so few logits at once that the head runs again in the backward pass."""
    kept = harness.policy.rows.MOST_LOGITS
    torch.set_default_dtype(torch.float64)
    harness.policy.rows.MOST_LOGITS = 10 * VOCABULARY
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)
        harness.policy.rows.MOST_LOGITS = kept


def learner_of(case: Case, ranks: Ranks, folder: Path) -> Learner:
    if isinstance(case.model, PretrainedModel):
        policy = load_pretrained(case.model, folder / case.architecture, seed=3).double()
    else:
        policy = new_policy(case.model, SPEC, VOCABULARY, seed=3)
    batch = BatchConfig(micro_tokens=MICRO_TOKENS)
    return Learner(policy, case.algorithm, case.model, batch, LONGEST, Ledger(), ranks)


def make_models(folder: Path) -> None:
    """Make the pretrained models in `folder`; in one process, as only a first rank can save."""
    save_model(folder / "llama", "llama", tie_word_embeddings=False)
    save_model(folder / "qwen2", "qwen2", tie_word_embeddings=True)


def outcome(case: Case, ranks: Ranks, folder: Path) -> dict[str, Any]:
    """What three updates with AdamW lead to; the third one made by a second learner too, which goes on."""
    with in_double_and_chunks():
        learner, again = learner_of(case, ranks, folder), learner_of(case, ranks, folder)
        played = episodes(7)
        scores = learner.score(played, learner.policy, Phase.branch_scoring)
        values = learner.values(played, Phase.critic_forward)
        mine = minibatch(learner, played, critic=case.algorithm.has_critic)
        metrics = [learner.update(mine) for _ in range(2)]
        moments = deepcopy(ranks.from_first(learner.moments()))
        again.policy.load_state_dict(learner.policy.state_dict())
        if learner.critic and again.critic:
            again.critic.load_state_dict(learner.critic.state_dict())
        again.load(deepcopy(moments))  # one rank alone goes on in the tensors that it is given
        metrics += [again.update(mine), learner.update(mine)]
        booked = ranks.gathered(learner.ledger.to_plain()["phases"])
    return {
        "scores": scores,
        "values": values,
        "metrics": metrics,
        "moments": moments,
        "weights": weights(learner.policy),
        "weights again": weights(again.policy),
        "critic": weights(learner.critic) if learner.critic else {},
        "booked": booked,
    }


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    ranks = Ranks(rank, 2)
    join(ranks, folder / "meeting", torch.device("cpu"))
    found = {name: outcome(case, ranks, folder) for name, case in CASES.items()}
    if ranks.first:
        torch.save(found, folder / "found")
