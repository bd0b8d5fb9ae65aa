"""What one iteration plays: roots of every drawn task, then the continuations that the algorithm asks for.

Shape suffixes: T action tokens.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from algorithms.base import BranchPoint
from envs.base import Task
from harness.config import RunConfig
from harness.ledger import Ledger, Phase
from harness.policy.gpt2 import Policy
from harness.policy.prompting import Prompting
from harness.policy.scoring import Scorer
from harness.records import Batch, Trajectory
from harness.rng import generator
from harness.rollout.account import Account
from harness.rollout.branching import continuation
from harness.rollout.episodes import Episode, Player

Floats = NDArray[np.float64]
MOST_ROLLOUTS = 2**16
"""Upper bound on rollouts per task. Seeds are `draw * MOST_ROLLOUTS + rollout`, so they do not depend on how
many rollouts an arm plays."""


class Sampler:
    """Plays the tasks of an iteration by the algorithm's rollout plan."""

    def __init__(
        self, config: RunConfig, player: Player, prompts: Prompting, scorer: Scorer, ledger: Ledger
    ) -> None:
        self.config, self.player, self.prompts, self.scorer = config, player, prompts, scorer
        self.ledger = ledger
        self.algorithm, self.plan = config.algorithm, config.algorithm.plan()
        self.panel = config.env.training_panel()

    def play_roots(self, draws: range) -> list[Episode]:
        """The roots of the tasks number `draws` of the run."""
        episodes = [
            Episode(self._task(draw), group=draw, rollout=r, seed=draw * MOST_ROLLOUTS + r)
            for draw in draws
            for r in range(self.plan.roots)
        ]
        self.player.engine.sync()
        self._play(episodes, Phase.decode)
        return episodes

    def play_branches(
        self, roots: Sequence[Episode], *, sampler_is_current: bool
    ) -> tuple[list[Trajectory], Floats | None]:
        """Branch until every task has its planned number of trajectories.

        Returns all trajectories, roots first, and, if the algorithm asked for it, the current policy's
        log-probabilities (T,) of the tokens before the last turn of branches. `sampler_is_current`: no update
        has been made since the roots were played.
        """
        if not sampler_is_current:
            self.player.engine.sync()
        episodes = list(roots)
        current_T: Floats | None = None
        # One turn for each step that a trajectory can have, and one for what is left then.
        for turn in range(self.config.env.horizon + 1):
            trajectories = [episode.trajectory() for episode in episodes]
            if len(episodes) == len(roots) // self.plan.roots * self.plan.trajectories:
                return trajectories, current_T
            batch = self.batch(trajectories)
            if "current_logprob_T" in self.plan.reads:
                known = self.plan.each_minibatch and sampler_is_current
                current_T = batch.logprob_T if known else self._score(trajectories, self.scorer.policy)
                batch = replace(batch, current_logprob_T=current_T)
            if "previous_logprob_T" in self.plan.reads:
                previous = self.scorer.previous
                previous_T = self._score(trajectories, previous) if previous else batch.logprob_T
                batch = replace(batch, previous_logprob_T=previous_T)
            random = generator(self.config.seed, "branch points", roots[0].group, turn)
            branches = self._continuations(episodes, self.algorithm.select_branches(batch, turn, random))
            self.ledger.meter.lap(Phase.credit)
            self._play(branches, Phase.decode_branch)
            episodes += branches
        raise RuntimeError(f"{self.algorithm.name} did not ask for the branches it plans")

    def batch(self, trajectories: Sequence[Trajectory]) -> Batch:
        """The flat form of trajectories."""
        vocabulary = self.prompts.vocabulary_size
        end_id, seed = self.prompts.end_id, self.config.seed
        return Batch.of(trajectories, end_id=end_id, vocabulary=vocabulary, seed=seed)

    def _score(self, trajectories: list[Trajectory], policy: Policy) -> Floats:
        return self.scorer.score(trajectories, policy, Phase.branch_scoring)

    def _continuations(self, episodes: list[Episode], points: list[BranchPoint]) -> list[Episode]:
        """Episodes that leave others at `points`, with what they reuse booked."""
        counts = Counter(episode.group for episode in episodes)
        branches = []
        for point in points:
            parent = episodes[point.trajectory]
            rollout = counts[parent.group]
            counts[parent.group] += 1
            if not self.player.plays(parent.group):
                branches.append(Episode(parent.task, parent.group, rollout, parent.seed))
                continue
            branch, replayed = continuation(parent, point, rollout, self.player.pool)
            self.ledger.env_steps_replayed += replayed
            self._book_prefix(parent, point)
            branches.append(branch)
        return branches

    def _play(self, episodes: list[Episode], decode: Phase) -> None:
        account = Account(self.ledger, self.scorer.policy_forms, decode)
        with self.scorer.placement.autocast():
            self.player.play(episodes, "rollout", account, keep_snapshots=self.plan.branches > 0)

    def _book_prefix(self, parent: Episode, point: BranchPoint) -> None:
        """What a continuation need not do again: its parent's steps before the point, and the kept tokens."""
        forms = self.scorer.policy_forms
        for number, step in enumerate(parent.steps[: point.step + 1]):
            prompt, whole = len(step.prompt_ids), number < point.step
            sampled = len(step.response_ids) if whole else point.token
            # The last token of a response is sampled and never fed back.
            decode = forms.decode(prompt + 1 + np.arange(sampled - 1 if whole else sampled))
            self.ledger.prefix_reused.tokens += sampled
            self.ledger.prefix_reused.flops += decode + (forms.forward([prompt]) if whole else 0)

    def _task(self, draw: int) -> Task:
        """Every task once an epoch, in an order that depends on the seed alone."""
        epoch, place = divmod(draw, len(self.panel))
        order = generator(self.config.seed, "task order", epoch).permutation(len(self.panel))
        return self.panel[int(order[place])]


def without_lost(
    trajectories: Sequence[Trajectory], current_T: Floats | None
) -> tuple[list[Trajectory], Floats | None]:
    """The trajectories that say something about the policy, parents renumbered; credit sees no others.

    A continuation of one that was lost goes with it. `current_T`: a column of the first trajectories' tokens.
    """
    kept: list[int] = []
    for number, trajectory in enumerate(trajectories):
        branch = trajectory.branch
        if not trajectory.stop.lost and (branch is None or branch.parent in kept):
            kept.append(number)
    if len(kept) == len(trajectories):
        return [*trajectories], current_T
    place = {number: i for i, number in enumerate(kept)}
    found = [
        replace(t, branch=replace(t.branch, parent=place[t.branch.parent])) if t.branch else t
        for t in (trajectories[number] for number in kept)
    ]
    if current_T is None:
        return found, None
    tokens = [sum(len(step.response_ids) for step in trajectory.steps) for trajectory in trajectories]
    kept_T = np.repeat(np.isin(np.arange(len(trajectories)), kept), tokens)
    return found, current_T[kept_T[: len(current_T)]]
