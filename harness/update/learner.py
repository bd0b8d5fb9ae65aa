"""The models that learn: optimiser steps, each booked in the ledger.

With several ranks, each takes a share of a mini-batch.

Shape suffixes: T action tokens of the trajectories at hand, in their order.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from algorithms.base import Algorithm
from algorithms.factors import RatioUnit
from harness.config import BatchConfig, ModelConfig
from harness.ledger import Ledger, Phase, TransformerFlops
from harness.parallel.sharded import publish, take_over, twin_of
from harness.policy.gpt2 import Policy
from harness.policy.model import (
    Critic,
    HeadCritic,
    checkpointed,
    checkpoints,
    head_forms,
)
from harness.policy.packing import packed
from harness.policy.passes import CriticPass, PolicyPass
from harness.policy.rows import Rows, logprobs, most_at_once, rows_of
from harness.policy.scoring import Scorer, all_rows
from harness.ranks import ALONE, Ranks
from harness.records import Trajectory
from harness.update.apart import is_thought, means_apart
from harness.update.loss import token_weights, value_loss
from harness.update.minibatch import Minibatch
from harness.update.objective import Tokens, kl_in_loss, objective
from harness.update.optimizer import AdamW

Floats = NDArray[np.float64]
PER_TOKEN = ("entropy", "ratio", "clip_fraction")
"""Metrics that are means over tokens."""


class Learner(Scorer):
    """The models with their optimisers."""

    def __init__(
        self,
        policy: Policy,
        algorithm: Algorithm,
        model: ModelConfig,
        batch: BatchConfig,
        longest: int,
        ledger: Ledger,
        ranks: Ranks = ALONE,
        thoughts: int = 0,
    ) -> None:
        """`longest`: the most action tokens a trajectory can have; `thoughts`: how many begin a step."""
        super().__init__(policy, algorithm, model, batch, ledger, ranks)
        self.longest, self.thoughts = longest, thoughts
        self._prepare_policy()
        self.critic_optimizer: AdamW | None = None
        if isinstance(self.critic, Critic):
            self._prepare_critic(self.critic)

    def _prepare_policy(self) -> None:
        """A critic that is a head on the policy's trunk takes part in the policy's steps."""
        head = self.critic if isinstance(self.critic, HeadCritic) else None
        self.policy_pass = PolicyPass(self.policy, head)
        self.trained_policy = twin_of(self.policy_pass, self.ranks)
        model = self.model
        self.policy_optimizer = AdamW(model.weight_decay)
        self.policy_optimizer.add(self.trained_policy.policy.parameters(), model.lr)
        if self.trained_policy.critic:
            self.policy_optimizer.add(self.trained_policy.critic.parameters(), model.critic_lr)

    def _prepare_critic(self, critic: Critic) -> None:
        self.critic_pass = CriticPass(critic)
        self.trained_critic = twin_of(self.critic_pass, self.ranks)
        self.critic_optimizer = AdamW(self.model.weight_decay)
        self.critic_optimizer.add(self.trained_critic.parameters(), self.model.critic_lr)

    def set_rates(self, fraction: float) -> float:
        """Set the learning rates for when `fraction` of the budget is spent; returns the policy's."""
        factor = self.model.schedule.factor(fraction)
        self.policy_optimizer.groups[0].lr = self.model.lr * factor
        if self.critic:
            # A head's group is the policy's optimiser's last one.
            critics = self.critic_optimizer or self.policy_optimizer
            critics.groups[-1].lr = self.model.critic_lr * factor
        return self.model.lr * factor

    def moments(self) -> dict[str, dict[str, Tensor]]:
        """The optimisers' states, whole, by model; on the first rank only, but all take part."""
        optimizers = {"policy": self.policy_optimizer, "critic": self.critic_optimizer}
        return {name: each.moments(self.ranks) for name, each in optimizers.items() if each}

    def load(self, moments: Mapping[str, dict[str, Tensor]]) -> None:
        """Go on with the models' weights as they are now, and these optimisers' states."""
        take_over(self.trained_policy, self.policy_pass)
        self.policy_optimizer.load(moments["policy"])
        if self.critic_optimizer:
            take_over(self.trained_critic, self.critic_pass)
            self.critic_optimizer.load(moments["critic"])

    def update(self, minibatch: Minibatch) -> dict[str, float]:
        """One optimiser step of the policy, after one of the critic if there is one; returns its metrics.

        Nothing is done for a mini-batch without trained trajectories.
        """
        if not minibatch.trajectories:
            return {}
        metrics = self._update_critic(minibatch) if self.critic_optimizer else {}
        return metrics | self._update_policy(minibatch)

    def _update_policy(self, minibatch: Minibatch) -> dict[str, float]:
        algorithm = self.algorithm
        weight_T = token_weights(
            algorithm.aggregation,
            minibatch.step_T,
            minibatch.trajectory_T,
            minibatch.counted_trajectories,
            self.longest,
        )
        centre = self._centre(minibatch)
        thought_T = torch.from_numpy(is_thought(minibatch.step_T, self.thoughts)) if self.thoughts else None
        value_weight_T = value_weights(minibatch) if isinstance(self.critic, HeadCritic) else None
        sums: defaultdict[str, float] = defaultdict(float)
        trained = self.trained_policy
        for part, rows in self._in_step(minibatch, trained, Phase.actor_train, self.policy_forms):
            reference_T = self._reference_logprobs(rows) if kl_in_loss(algorithm) else None
            with self.placement.autocast(), checkpointed(trained):
                logprob_T, entropy_T, *value_T = trained(rows)
            tokens = Tokens(
                advantage_T=torch.from_numpy(minibatch.advantage_T[part]).float(),
                old_logprob_T=torch.from_numpy(minibatch.old_logprob_T[part]).float(),
                weight_T=torch.from_numpy(weight_T[part]).float(),
                step_T=torch.from_numpy(minibatch.step_T[part]),
                trajectory_T=torch.from_numpy(minibatch.trajectory_T[part]),
                thought_T=None if thought_T is None else thought_T[part],
            )
            loss, metrics = objective(algorithm, tokens, logprob_T, entropy_T, reference_T, centre)
            if value_weight_T is not None:
                value_loss = self._value_loss(minibatch, part, value_weight_T, *value_T)
                loss = loss + self.model.value_coef * value_loss
                metrics["value_loss"] = float(value_loss.detach())
            loss.backward()
            self._book_training(Phase.actor_train, rows, self.policy_forms)
            if value_weight_T is not None:
                self.book(Phase.critic_train, rows, head_forms(self.policy).train)
            sums["rows"] += len(rows.length_R)
            for name, value in metrics.items():
                sums[name] += value / len(weight_T) if name in PER_TOKEN else value
        norm = self.policy_optimizer.step(self.model.grad_clip)
        publish(trained, self.policy_pass)
        self.ledger.meter.lap(Phase.actor_train)
        return {**means_apart(self.ranks.summed(sums)), "grad_norm": norm}

    @torch.no_grad()
    def _centre(self, minibatch: Minibatch) -> Tensor | None:
        """The mini-batch's mean log-ratio, if the ratio needs it and no single pass sees all of it.

        A bigger `micro_tokens` would make this pass unnecessary, so it is computed work but not nominal work.
        """
        if self.algorithm.ratio_unit is not RatioUnit.step_sqrt:
            return None
        parts = list(self._micro_batches(minibatch))
        if len(parts) == self.ranks.size == 1:
            return None
        total = torch.zeros(())
        for part, rows in parts:
            old_T = torch.from_numpy(minibatch.old_logprob_T[part]).float()
            with self.placement.autocast():
                total += (logprobs(self.policy, rows)[0] - old_T).sum()
            computed = self.policy_forms.forward(rows.length_B, rows.positions, rows.predicted)
            self.ledger.add(Phase.ratio_centre, 0, 0, computed)
            self.ledger.meter.lap(Phase.ratio_centre)
        return sum(self.ranks.gathered(total), torch.zeros(())) / len(minibatch.step_T)

    def _update_critic(self, minibatch: Minibatch) -> dict[str, float]:
        assert self.critic_optimizer is not None
        weight_T = value_weights(minibatch)
        total = 0.0
        trained = self.trained_critic
        for part, rows in self._in_step(minibatch, trained, Phase.critic_train, self.critic_forms):
            with self.placement.autocast(), checkpointed(trained):
                (value_T,) = trained(rows)
            loss = self._value_loss(minibatch, part, weight_T, value_T)
            loss.backward()
            self._book_training(Phase.critic_train, rows, self.critic_forms)
            total += float(loss.detach())
        norm = self.critic_optimizer.step(self.model.grad_clip)
        publish(trained, self.critic_pass)
        self.ledger.meter.lap(Phase.critic_train)
        return {**self.ranks.summed({"value_loss": total}), "critic_grad_norm": norm}

    def _value_loss(self, minibatch: Minibatch, part: slice, weight_T: Floats, value_T: Tensor) -> Tensor:
        """The critic's loss on a part of the mini-batch, from the values there."""
        assert minibatch.return_T is not None
        assert minibatch.value_T is not None
        old_T = torch.from_numpy(minibatch.value_T[part]).float()
        return_T = torch.from_numpy(minibatch.return_T[part]).float()
        loss_T = value_loss(value_T, old_T, return_T, self.algorithm.value_clip)
        return (torch.from_numpy(weight_T[part]).float() * loss_T).sum()

    @torch.no_grad()
    def _reference_logprobs(self, rows: Rows) -> Tensor:
        assert self.reference is not None
        with self.placement.autocast():
            logprob_T, _ = logprobs(self.reference, rows)
        self.book(Phase.score_reference, rows, self.policy_forms.forward)
        return logprob_T

    def _in_step(
        self, minibatch: Minibatch, module: nn.Module, phase: Phase, forms: TransformerFlops
    ) -> Iterator[tuple[slice, Rows]]:
        """This rank's micro-batches, each for one pass of `module` and back.

        A sharded module's passes wait for the other ranks', so ranks with fewer make idle ones at the end.
        """
        if self.ranks.size == 1:
            yield from self._micro_batches(minibatch)
            return
        parts = list(self._micro_batches(minibatch))
        most = max(self.ranks.gathered(len(parts)))
        yield from parts
        shortest = Rows.of(rows_of(minibatch.trajectories[0].steps[:1]))
        for _ in range(most - len(parts)):
            with self.placement.autocast(), checkpointed(module):
                outputs = module(shortest)
            (0.0 * sum(output.sum() for output in outputs)).backward()
            self.ledger.add(phase, 0, 0, self._computed(shortest, forms))

    def _micro_batches(self, minibatch: Minibatch) -> Iterator[tuple[slice, Rows]]:
        """Slices of the mini-batch's tokens with their rows; whole trajectories, so that units stay whole."""
        mine = self._share(minibatch.trajectories)
        first = sum(map(action_tokens, minibatch.trajectories[: mine.start]))
        for trajectories in packed(minibatch.trajectories[mine], self.batch.micro_tokens):
            tokens = sum(map(action_tokens, trajectories))
            yield slice(first, first + tokens), Rows.of(all_rows(trajectories))
            first += tokens

    def _book_training(self, phase: Phase, rows: Rows, forms: TransformerFlops) -> None:
        """Book a training pass and back."""
        computed = self._computed(rows, forms)
        self.ledger.add(phase, int(rows.length_R.sum()), forms.train(rows.length_R), computed)
        self.ledger.meter.lap(phase)

    def _computed(self, rows: Rows, forms: TransformerFlops) -> int:
        """What a training pass really does: what is computed twice to save memory is not nominal work."""
        computed = forms.train(rows.length_B, rows.positions, rows.predicted)
        if self._checkpoints:
            repeated = TransformerFlops.repeated(self.policy.config, self.lora)
            computed += repeated.forward(rows.length_B, rows.positions)
        if forms is self.policy_forms and rows.predicted > most_at_once(self.policy.config.vocab_size):
            computed += 2 * forms.head * rows.predicted
        return computed

    @property
    def _checkpoints(self) -> bool:
        return any(checkpoints(module) for module in self.policy.modules())


def action_tokens(trajectory: Trajectory) -> int:
    """How many tokens the policy chose."""
    return sum(len(step.response_ids) for step in trajectory.steps)


def value_weights(minibatch: Minibatch) -> Floats:
    """Weights (T,) of the tokens' value losses.

    Every state of a step counts alike and every step counts alike, as in the policy's step mean.
    """
    assert minibatch.critic_T is not None
    weight_T = np.zeros(len(minibatch.step_T))
    trained = minibatch.critic_T
    _, index, count = np.unique(minibatch.step_T[trained], return_inverse=True, return_counts=True)
    weight_T[trained] = 1.0 / (count[index] * len(count))
    return weight_T
