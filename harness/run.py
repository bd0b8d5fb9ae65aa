"""One cell: rollout -> credit -> update, until the budget is spent.

The loop knows no algorithm and no environment by name. Every number in `metrics.jsonl` is a function of the
configuration alone (on one thread of one machine), however often the run is interrupted.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

from algorithms.base import BranchPoint
from algorithms.shared.kl_reward import with_kl_in_reward
from envs.base import Task
from harness.config import RunConfig, compose_run
from harness.errors import UserError
from harness.evaluate import evaluate, mean
from harness.ledger import Ledger, Phase
from harness.policy.text import Prompts
from harness.policy.warm_start import load_or_make
from harness.records import Batch, Trajectory
from harness.rng import generator
from harness.rollout.branching import continuation
from harness.rollout.engine import TorchEngine, Usage
from harness.rollout.episodes import EnvironmentPool, Episode, Player
from harness.store import RunDir, append_line, read_json, write_json
from harness.store.checkpoint import load_model, save_model
from harness.update.learner import Learner
from harness.update.minibatch import Minibatch

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
CHECKPOINT_SECONDS = 60.0
MOST_ROLLOUTS = 2**16
"""Of one task. An episode's noise depends on its draw and its number, never on how many its arm plays."""


class Run:
    """The state of a cell between iterations."""

    def __init__(self, config: RunConfig, run_dir: RunDir, warm_start_dir: Path) -> None:
        torch.set_num_threads(1)
        self.config, self.run_dir = config, run_dir
        self.algorithm = config.algorithm
        self.plan = config.algorithm.plan()
        self.panel = config.env.training_panel()
        self.ledger = Ledger()
        self.prompts = Prompts(config.env)
        policy = load_or_make(config, self.prompts, warm_start_dir, self.ledger)
        self.learner = Learner(
            policy,
            config.algorithm,
            config.model,
            config.batch,
            self.prompts.pad_id,
            config.env.horizon * config.env.max_action_tokens,
            self.ledger,
        )
        self.pool = EnvironmentPool(config.env)
        longest = config.env.max_action_tokens
        engine = TorchEngine(policy, self.prompts.pad_id, self.prompts.end_id, longest)
        self.player = Player(engine, self.prompts, self.pool, config.seed)
        self.iteration = 0
        self.point = 0
        """Evaluations done."""
        self.scores: list[float] = []
        """Sampled success at each evaluation."""
        self.checkpoint_time = time.monotonic()

    @property
    def spent(self) -> int:
        """What the budget's axis has used."""
        return self.ledger.spent(self.config.budget.axis.value)

    def finish(self) -> dict[str, object]:
        """Resume if there is something to resume, go on to the end, and write the result."""
        self._resume()
        limit, points = self.config.budget.limit, self.config.evaluation.points
        while True:
            if self.spent >= limit * self.point / points:
                self._evaluate(min(points, int(points * self.spent / limit)))
                self._checkpoint()
            if self.spent >= limit:
                break
            self._iterate()
            if time.monotonic() - self.checkpoint_time > CHECKPOINT_SECONDS:
                self._checkpoint()
        self.pool.close()
        result = {
            "final_success": mean(self.scores[-self.config.evaluation.window :]),
            "scores": self.scores,
            "iterations": self.iteration,
            "overshoot": self.spent / limit - 1,
            "panel_hash": self.config.env.panel_hash(),
            "ledger": self.ledger.to_plain(),
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
        }
        write_json(self.run_dir.result, result)
        return result

    def _iterate(self) -> None:
        clock = Clock()
        tasks = self.config.tasks_per_iteration
        roots = self._play_roots(range(self.iteration * tasks, (self.iteration + 1) * tasks))
        blocks = self.config.batch.minibatches if self.plan.each_minibatch else 1
        metrics: list[dict[str, float]] = []
        played: list[Trajectory] = []
        for block in range(blocks):
            mine = roots[block * len(roots) // blocks : (block + 1) * len(roots) // blocks]
            trajectories, current_T = self._branch(mine, block)
            clock.lap("rollout")
            if "previous_logprob_T" in self.plan.reads:
                self.learner.remember()
            metrics += self._learn(trajectories, current_T, self.config.batch.minibatches // blocks)
            clock.lap("update")
            played += trajectories
        self.iteration += 1
        self.ledger.trajectories += len(played)
        self._record("train", summary(played) | average(metrics))
        append_line(self.run_dir.timing, {"iteration": self.iteration, **clock.seconds})

    def _play_roots(self, draws: range) -> list[Episode]:
        episodes = [
            Episode(task, group=draw, rollout=r, seed=draw * MOST_ROLLOUTS + r)
            for draw, task in ((draw, self._task(draw)) for draw in draws)
            for r in range(self.plan.roots)
        ]
        self.ledger.env_steps += self.player.play(
            episodes,
            "rollout",
            lambda usage: self._book(usage, Phase.decode),
            keep_snapshots=self.plan.branches > 0,
        )
        return episodes

    def _branch(self, roots: list[Episode], block: int) -> tuple[list[Trajectory], Floats | None]:
        """The roots' trajectories, then those of the continuations that the algorithm asks for.

        Beside them, the current policy's log-probabilities of the roots' tokens, if it asked for those.
        """
        episodes = list(roots)
        current_T: Floats | None = None
        for turn in range(self.config.env.horizon + 1):
            trajectories = [episode.trajectory() for episode in episodes]
            if len(episodes) == len(roots) // self.plan.roots * self.plan.trajectories:
                return trajectories, current_T
            batch = self._batch(trajectories)
            if "current_logprob_T" in self.plan.reads:
                # Before the first mini-batch the policy is still the one that sampled: no pass is needed.
                known = self.plan.each_minibatch and block == 0
                current_T = batch.logprob_T if known else self._score(trajectories, self.learner.policy)
                batch = replace(batch, current_logprob_T=current_T)
            if "previous_logprob_T" in self.plan.reads:
                previous = self.learner.previous
                previous_T = self._score(trajectories, previous) if previous else batch.logprob_T
                batch = replace(batch, previous_logprob_T=previous_T)
            random = generator(self.config.seed, "branch points", roots[0].group, turn)
            branches = self._continuations(episodes, self.algorithm.select_branches(batch, turn, random))
            self.ledger.env_steps += self.player.play(
                branches, "rollout", lambda usage: self._book(usage, Phase.decode_branch), keep_snapshots=True
            )
            episodes += branches
        raise RuntimeError(f"{self.algorithm.name} did not ask for the branches it plans")

    def _score(self, trajectories: list[Trajectory], policy: GPT2LMHeadModel) -> Floats:
        return self.learner.score(trajectories, policy, Phase.branch_scoring)

    def _continuations(self, episodes: list[Episode], points: list[BranchPoint]) -> list[Episode]:
        """Episodes that leave others at `points`, with what they reuse booked."""
        counts = Counter(episode.group for episode in episodes)
        branches = []
        for point in points:
            parent = episodes[point.trajectory]
            branch, replayed = continuation(parent, point, counts[parent.group], self.pool)
            counts[parent.group] += 1
            self.ledger.env_steps_replayed += replayed
            self._book_prefix(parent, point)
            branches.append(branch)
        return branches

    def _learn(
        self, trajectories: list[Trajectory], current_T: Floats | None, minibatches: int
    ) -> list[dict[str, float]]:
        """Credit, and an optimiser step for each of `minibatches` runs of whole groups.

        Credit is taken once over all of them, or for each in its turn where it reads the current policy. Its
        log-probabilities of the first trajectories' tokens are `current_T`, or as sampled.
        """
        batch = self._batch(trajectories)
        batch = replace(batch, value_T=self.learner.values(trajectories))
        batch = with_kl_in_reward(self._with_reference(batch, trajectories), self.algorithm)
        changing = "current_logprob_T" in self.algorithm.columns
        if changing:
            known_T = batch.logprob_T if current_T is None else current_T
            rest_T = batch.logprob_T[len(known_T) :]
            batch = replace(batch, current_logprob_T=np.concatenate([known_T, rest_T]))
        credit = self.algorithm.credit(batch)
        metrics = []
        for number, groups in enumerate(np.array_split(np.unique(batch.group_N), minibatches)):
            members_N = np.isin(batch.group_N, groups)
            if changing and number > 0:
                batch = self._rescored(batch, trajectories, members_N)
                credit = self.algorithm.credit(batch)
            minibatch = Minibatch.of(trajectories, batch, credit, members_N)
            metrics.append(credit.diagnostics | self.learner.update(minibatch))
        return metrics

    def _with_reference(self, batch: Batch, trajectories: list[Trajectory]) -> Batch:
        """The start policy's log-probabilities, for algorithms whose reward holds a KL."""
        if "reference_logprob_T" not in self.algorithm.columns:
            return batch
        assert self.learner.reference is not None
        reference_T = self.learner.score(trajectories, self.learner.reference, Phase.score_reference)
        return replace(batch, reference_logprob_T=reference_T)

    def _rescored(self, batch: Batch, trajectories: list[Trajectory], members_N: Bools) -> Batch:
        """The current policy's log-probabilities of the members' roots; of all others, as sampled."""
        scored_N = members_N & batch.root_N
        current_T = batch.logprob_T.copy()
        mine = [trajectories[i] for i in np.flatnonzero(scored_N).tolist()]
        current_T[scored_N[batch.trajectory_T]] = self._score(mine, self.learner.policy)
        return replace(batch, current_logprob_T=current_T)

    def _batch(self, trajectories: list[Trajectory]) -> Batch:
        return Batch.of(
            trajectories,
            end_id=self.prompts.end_id,
            vocabulary=len(self.prompts.tokenizer),
            seed=self.config.seed,
        )

    def _task(self, draw: int) -> Task:
        """Every task once an epoch, in an order that depends on the seed alone."""
        epoch, place = divmod(draw, len(self.panel))
        order = generator(self.config.seed, "task order", epoch).permutation(len(self.panel))
        return self.panel[int(order[place])]

    def _book(self, usage: Usage, decode: Phase) -> None:
        forms = self.learner.policy_forms
        flops, computed = forms.forward(usage.prefill_R), forms.forward(usage.prefill_U)
        self.ledger.add(Phase.prefill, int(usage.prefill_R.sum()), flops, computed)
        self.ledger.add(decode, usage.sampled, forms.decode(usage.decode))

    def _book_prefix(self, parent: Episode, point: BranchPoint) -> None:
        """What a continuation need not do again: its parent's steps before the point, and the kept tokens."""
        forms, reused = self.learner.policy_forms, self.ledger.prefix_reused
        for number, step in enumerate(parent.steps[: point.step + 1]):
            prompt, whole = len(step.prompt_ids), number < point.step
            sampled = len(step.response_ids) if whole else point.token
            # The last token of a response is sampled and never fed back.
            reused.tokens += sampled
            decode = forms.decode(prompt + 1 + np.arange(sampled - 1 if whole else sampled))
            reused.flops += decode + (forms.forward([prompt]) if whole else 0)
        reused.computed = reused.flops

    def _evaluate(self, point: int) -> None:
        """Evaluate, and count every fraction of the budget up to `point` as evaluated."""
        clock = Clock()
        forms = self.learner.policy_forms
        metrics = evaluate(self.config, self.player, forms, self.ledger, point)
        self.point = point + 1
        self.scores.append(metrics["success"])
        self._record("evaluation", {"fraction": point / self.config.evaluation.points, **metrics})
        clock.lap("evaluation")
        append_line(self.run_dir.timing, {"iteration": self.iteration, **clock.seconds})

    def _record(self, kind: str, values: dict[str, float]) -> None:
        spent = {axis: self.ledger.spent(axis) for axis in ("flops", "tokens", "env_steps")}
        append_line(self.run_dir.metrics, {"kind": kind, "iteration": self.iteration, **spent, **values})

    def _checkpoint(self) -> None:
        state = {
            "iteration": self.iteration,
            "point": self.point,
            "scores": self.scores,
            "ledger": self.ledger.to_plain(),
        }
        learner = self.learner
        with self.run_dir.new_checkpoint(self.iteration, state) as folder:
            save_model(folder, "policy", learner.policy, learner.policy_optimizer)
            if learner.critic:
                save_model(folder, "critic", learner.critic, learner.critic_optimizer)
            if learner.previous:
                save_model(folder, "previous", learner.previous)
        self.checkpoint_time = time.monotonic()

    def _resume(self) -> None:
        checkpoint = self.run_dir.rewind()
        if checkpoint is None:
            return
        state = read_json(checkpoint / "state.json")
        self.iteration, self.point, self.scores = state["iteration"], state["point"], state["scores"]
        self.ledger = Ledger.from_plain(state["ledger"])
        learner = self.learner
        learner.ledger = self.ledger
        load_model(checkpoint, "policy", learner.policy, learner.policy_optimizer)
        if learner.critic:
            load_model(checkpoint, "critic", learner.critic, learner.critic_optimizer)
        if "previous_logprob_T" in self.plan.reads and self.iteration > 0:
            learner.remember()
            assert learner.previous is not None
            load_model(checkpoint, "previous", learner.previous)


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Book the time since the last lap under `name`."""
        now = time.monotonic()
        self.seconds[name] += now - self._last
        self._last = now


def summary(trajectories: list[Trajectory]) -> dict[str, float]:
    """What the rollouts were like."""
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    return {
        "train_success": mean([trajectory.success for trajectory in trajectories]),
        "train_steps": mean([len(trajectory.steps) for trajectory in trajectories]),
        "train_valid_actions": mean([step.valid for step in steps]),
    }


def average(metrics: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric over an iteration's optimiser steps."""
    names = dict.fromkeys(name for each in metrics for name in each)
    return {name: mean([each[name] for each in metrics if name in each]) for name in names}


def main(overrides: Sequence[str]) -> int:
    """`python -m harness.run [KEY=VALUE ...]`: one cell in this process, under `runs/single`, to debug it."""
    try:
        config = compose_run(overrides)
        config.env.check()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    out = Path("runs/single")
    run_dir = RunDir.create(out, config)
    with run_dir.lease() as mine:
        if not mine:
            print(f"error: another process runs {run_dir.path}", file=sys.stderr)
            return 2
        result = Run(config, run_dir, out).finish()
    print(f"success {result['final_success']:.2f}; {run_dir.path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
