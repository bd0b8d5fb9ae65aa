"""One cell: rollout -> credit -> update, until the budget is spent.

The loop knows no algorithm and no environment by name. Every number in `metrics.jsonl` is a function of the
configuration alone (on one thread of one machine), however often the run is interrupted.
"""

import dataclasses
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

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
            policy, config.algorithm, config.model, config.batch, self.prompts.pad_id, self.ledger
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
        minibatches = self.config.batch.minibatches
        # A branching method continues the roots of one mini-batch at a time, with the policy of that moment.
        blocks = minibatches if self.plan.branches else 1
        block_size = tasks // blocks
        metrics: list[dict[str, float]] = []
        played: list[Trajectory] = []
        for block in range(blocks):
            groups = range(block * block_size, (block + 1) * block_size)
            mine = [episode for episode in roots if episode.group in groups]
            trajectories, current_T = self._branch(mine)
            clock.lap("rollout")
            metrics += self._learn(trajectories, current_T, minibatches // blocks)
            clock.lap("update")
            played += trajectories
        self.iteration += 1
        self.ledger.trajectories += len(played)
        self._record("train", summary(played) | average(metrics))
        append_line(self.run_dir.timing, {"iteration": self.iteration, **clock.seconds})

    def _play_roots(self, draws: range) -> list[Episode]:
        episodes = [
            Episode(task, group=i, rollout=r, draw=draw, seed=draw * MOST_ROLLOUTS + r)
            for i, (draw, task) in enumerate((draw, self._task(draw)) for draw in draws)
            for r in range(self.plan.roots)
        ]
        keep = self.plan.branches > 0
        self.ledger.env_steps += self.player.play(
            episodes, "rollout", lambda usage: self._book(usage, Phase.decode), keep_snapshots=keep
        )
        return episodes

    def _branch(self, roots: list[Episode]) -> tuple[list[Trajectory], np.ndarray | None]:
        """The roots' trajectories, then those of the continuations that the algorithm asks for.

        Beside them, for plans with branches, the current policy's log-probabilities of the roots' tokens.
        """
        trajectories = [episode.trajectory() for episode in roots]
        if not self.plan.branches:
            return trajectories, None
        current_T = self.learner.score(trajectories)
        batch = Batch.of(trajectories, self.prompts.end_id)
        batch = dataclasses.replace(batch, current_logprob_T=current_T)
        next_rollout = {episode.group: self.plan.roots for episode in roots}
        branches = []
        for point in self.algorithm.select_branches(batch):
            parent = roots[point.trajectory]
            branch, replayed = continuation(parent, point, next_rollout[parent.group], self.pool)
            next_rollout[parent.group] += 1
            self.ledger.env_steps_replayed += replayed
            branches.append(branch)
        self.ledger.env_steps += self.player.play(
            branches, "rollout", lambda usage: self._book(usage, Phase.decode_branch)
        )
        return trajectories + [branch.trajectory() for branch in branches], current_T

    def _learn(
        self, trajectories: list[Trajectory], current_T: np.ndarray | None, minibatches: int
    ) -> list[dict[str, float]]:
        batch = Batch.of(trajectories, self.prompts.end_id)
        batch = dataclasses.replace(batch, value_T=self.learner.values(trajectories))
        if current_T is not None:
            # Branches come last and were sampled by the policy as it is now.
            current_T = np.concatenate([current_T, batch.logprob_T[len(current_T) :]])
            batch = dataclasses.replace(batch, current_logprob_T=current_T)
        credit = self.algorithm.credit(batch)
        groups = np.unique(batch.group_N)
        metrics = []
        for part in np.array_split(groups, minibatches):
            members = np.isin(batch.group_N, part)
            metrics.append(self.learner.update(Minibatch.of(trajectories, batch, credit, members)))
        return [credit.diagnostics | each for each in metrics]

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
    return {name: mean([each[name] for each in metrics]) for name in metrics[0]}


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
