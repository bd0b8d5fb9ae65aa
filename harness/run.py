"""One cell: rollout -> credit -> update, until the budget is spent.

The loop knows no algorithm and no environment by name. Every number in `metrics.jsonl` is a function of the
configuration alone (on one thread of one machine), however often the run is interrupted.
"""

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from harness.attempt import attempt, redone
from harness.code_version import code_version
from harness.config import CHECKPOINT_SECONDS, BudgetAxis, RunConfig
from harness.errors import UserError
from harness.evaluate import evaluate
from harness.ledger import COUNTED_AXES, Ledger
from harness.parallel.books import Books
from harness.parallel.peers import ranks_of
from harness.parallel.player import SharedPlayer
from harness.policy.columns import Sources
from harness.policy.exact import TrueValues
from harness.policy.inputs import inputs_of
from harness.policy.model import fingerprint
from harness.policy.source import check as check_model
from harness.ranks import ALONE, Ranks
from harness.record import Recorder
from harness.records import Trajectory
from harness.records.batch import asks_for
from harness.records.columns import Moment
from harness.rollout.ahead import Ahead
from harness.rollout.engines import check_engine, make_engine
from harness.rollout.environments import EnvironmentPool
from harness.rollout.sampler import Sampler, without_lost
from harness.store import RunDir, append_line, read_json
from harness.store.checksums import file_hash, write_sealed
from harness.summary import average, check_lost, played, summary
from harness.update.checkpoint import has_model, load_model, load_moments, save_model, save_moments
from harness.update.learner import Learner
from harness.update.trainer import Trainer
from harness.update.warm_start import load_or_make

STATE = ("iteration", "point", "scores", "successes", "spent_at", "seconds", "stops")
"""What a checkpoint says of a run besides its ledger, its models and their optimisers."""
SINGLE = Path("runs/single")
"""Where cells that no sweep runs are kept, from the working directory."""
Trained = tuple[list[Trajectory], dict[str, float], list[dict[str, float]]]
"""An iteration's trajectories, what playing them showed, and each mini-batch's metrics."""


class Stopped(Exception):
    """A run was asked to stop; it wrote a checkpoint first."""


class Run:
    """The state of a cell between iterations."""

    def __init__(
        self,
        config: RunConfig,
        run_dir: RunDir,
        warm_start_dir: Path,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        ranks: Ranks = ALONE,
    ) -> None:
        """`ranks`: this process among those that run the cell; only the first one writes."""
        torch.set_num_threads(1)
        self.config, self.run_dir, self.checkpoint_seconds = config, run_dir, checkpoint_seconds
        self.ranks = ranks
        if ranks.first:
            run_dir.note_inputs(inputs_of(config.model, config.env))
        self.ledger = Ledger()
        self.books = Books(self.ledger, ranks)
        policy, self.prompts = load_or_make(config, warm_start_dir, self.ledger if ranks.first else Ledger())
        self.start_hash = fingerprint(policy)
        if len(set(ranks.gathered(self.start_hash))) > 1:
            raise RuntimeError("the ranks do not start from the same weights")
        self.learner = Learner(
            policy,
            config.algorithm,
            config.model,
            config.batch,
            config.env.horizon * config.longest_response,
            self.ledger,
            ranks,
            config.env.thought_tokens,
        )
        self.pool = EnvironmentPool(config.env)
        with self.learner.placement.autocast():
            engine = make_engine(config, policy, self.prompts)
        self.player = SharedPlayer(engine, self.prompts, self.pool, config.seed, config.rollout, ranks)
        self.sampler = Sampler(config, self.player, self.prompts, self.learner, self.ledger)
        overlap = config.rollout.overlap
        self.ahead = Ahead(config, engine, self.prompts, self.pool, self.learner) if overlap else None
        true_values = TrueValues(config.env, self.prompts) if config.has_exact_values else None
        sources = Sources(self.learner, true_values)
        self.trainer = Trainer(config.algorithm, self.learner, sources)
        self.recorder = Recorder(config, self.prompts, sources)
        self.iteration = 0
        self.point = 0
        """Evaluations done."""
        self.scores: list[float] = []
        """Sampled score at each evaluation; success if the environment has no scores."""
        self.successes: list[float] = []
        """Sampled success at each evaluation."""
        self.stops: dict[str, dict[str, int]] = {"training": {}, "evaluation": {}}
        """Episodes so far, by why they ended."""
        self.spent_at: list[float] = []
        """What the budget's axis had used at each evaluation."""
        self.seconds = 0.0
        """Seconds of rollouts and updates: no function of the configuration, so kept out of the ledger."""
        self.checkpoint_time = time.monotonic()

    @property
    def spent(self) -> float:
        """What the budget's axis has used."""
        axis = self.config.budget.axis
        return self.seconds if axis is BudgetAxis.gpu_seconds else self.ledger.spent(axis.value)

    def finish(self, stopping: Callable[[], bool] = lambda: False) -> dict[str, object]:
        """Resume if there is something to resume, go on to the end, and write the result.

        Raise `Stopped` after the iteration in which `stopping` says so.
        """
        self._resume()
        limit, points = self.config.budget.limit, self.config.evaluation.points
        while True:
            if self.point <= points and self.spent >= limit * self.point / points:
                self._evaluate(min(points, int(points * self.spent / limit)))
                self._checkpoint()
            if self.spent >= limit:
                break
            if self.ranks.once(stopping):
                self._checkpoint()
                raise Stopped
            self._iterate()
            if self.ranks.once(lambda: time.monotonic() - self.checkpoint_time > self.checkpoint_seconds):
                self._checkpoint()
        self.pool.close()
        result: dict[str, object] = {
            "final_success": self._final(self.successes),
            "final_score": self._final(self.scores),
            "measure": "score" if self.config.env.graded else "success",
            "scores": self.scores,
            "stops": self.stops,
            "iterations": self.iteration,
            "overshoot": self.spent / limit - 1,
            "panel_hash": self.config.env.panel_hash(),
            "start_hash": self.start_hash,
            "ledger": self.ledger.to_plain(),
            "placement": str(self.learner.placement),
            "versions": {"torch": torch.__version__, "numpy": np.__version__},
            "metrics_sha256": file_hash(self.run_dir.metrics),
        }
        if self.ranks.first:
            self.run_dir.check_lease()
            write_sealed(self.run_dir.result, result)
        return result

    def _final(self, curve: Sequence[float]) -> float:
        """The mean of a learning curve at the last evaluation points, the last one exactly the limit.

        An evaluation waits for the iteration in flight; between two of them the curve is a straight line, so
        that arms with longer iterations gain nothing from what they spent beyond the limit.
        """
        points, window = self.config.evaluation.points, self.config.evaluation.window
        limits = [self.config.budget.limit * (points - i) / points for i in range(window)]
        return float(np.interp(limits, self.spent_at, curve).mean())

    def _iterate(self) -> None:
        clock = self._clock()
        rate = self.learner.set_rates(self.spent / self.config.budget.limit)
        trained = self._overlapped(self.ahead, clock) if self.ahead else self._in_turn(clock)
        trajectories, noticed, metrics = trained
        self._count("training", trajectories)
        self.iteration += 1
        self.ledger.trajectories += sum(self.player.plays(trajectory.group) for trajectory in trajectories)
        self.books.settle()
        seconds = clock.seconds["rollout"] + clock.seconds["update"]
        self.seconds = self.ranks.once(lambda: self.seconds + self.ranks.size * seconds)
        if self.ahead and self.spent >= self.config.budget.limit:
            self.ahead.drop(self.ledger)
        updates = sum("grad_norm" in each for each in metrics)
        rollouts = summary(trajectories, self.config.env.graded) | noticed
        self._record("train", {"lr": rate, "updates": updates} | rollouts | average(metrics))
        self._record_times(clock)

    def _in_turn(self, clock: "Clock") -> Trained:
        """Play, then train."""
        roots = self.sampler.play_roots(self._draws(self.iteration))
        plan, minibatches = self.sampler.plan, self.config.batch.minibatches
        # If the policy of the moment decides, a mini-batch's branches wait for the updates before it.
        blocks = minibatches if plan.each_minibatch else 1
        metrics: list[dict[str, float]] = []
        all_played: list[Trajectory] = []
        for block in range(blocks):
            mine = roots[block * len(roots) // blocks : (block + 1) * len(roots) // blocks]
            trajectories, current_T = self.sampler.play_branches(mine, sampler_is_current=block == 0)
            self.player.engine.release()
            clock.lap("rollout")
            check_lost(trajectories, self.config.rollout.max_lost)
            if asks_for(plan.reads, Moment.previous):
                self.learner.remember()
            kept, current_T = without_lost(trajectories, current_T)
            metrics += self.trainer.train(self.sampler.batch(kept), kept, current_T, minibatches // blocks)
            clock.lap("update")
            all_played += trajectories
        return all_played, self._diagnostics(), metrics

    def _overlapped(self, ahead: Ahead, clock: "Clock") -> Trained:
        """Train, and play the next iteration's rollout meanwhile."""
        again = self.iteration > 0 and not ahead.in_hand
        rollout = ahead.take(self._draws(self.iteration))
        self.ledger.merge(rollout.ledger)
        # What an interruption makes the run do again is not part of the budget.
        clock.lap("rollout_again" if again else "rollout")
        check_lost(rollout.trajectories, self.config.rollout.max_lost)
        kept, _ = without_lost(rollout.trajectories, None)
        with ahead.playing(self._draws(self.iteration + 1), self.iteration):
            batch = self.sampler.batch(kept)
            metrics = self.trainer.train(batch, kept, None, self.config.batch.minibatches)
            clock.lap("update")
        clock.lap("rollout")
        clock.seconds["rollout_hidden"] = ahead.hidden
        staleness = self.iteration - rollout.version
        return rollout.trajectories, {"staleness": staleness} | rollout.diagnostics, metrics

    def _draws(self, iteration: int) -> range:
        """The numbers of an iteration's tasks."""
        tasks = self.config.tasks_per_iteration
        return range(iteration * tasks, (iteration + 1) * tasks)

    def _evaluate(self, point: int) -> None:
        """Evaluate, and count every fraction of the budget up to `point` as evaluated."""
        clock = self._clock()
        forms = self.learner.policy_forms
        with self.learner.placement.autocast():
            evaluation = evaluate(self.config, self.player, forms, self.ledger, point)
        self._count("evaluation", evaluation.sampled)
        self._keep(point, evaluation.sampled)
        metrics = evaluation.metrics | self._diagnostics()
        self.books.settle()
        self.point = point + 1
        self.successes.append(metrics["success"])
        self.scores.append(metrics["score"] if self.config.env.graded else metrics["success"])
        self.spent_at.append(self.spent)
        self._record("evaluation", {"fraction": point / self.config.evaluation.points, **metrics})
        clock.lap("evaluation")
        self._record_times(clock)

    def _count(self, stage: str, trajectories: Sequence[Trajectory]) -> None:
        """Count why episodes ended."""
        stops = self.stops[stage]
        for trajectory in trajectories:
            stops[trajectory.stop.value] = stops.get(trajectory.stop.value, 0) + 1

    def _keep(self, point: int, sampled: list[Trajectory]) -> None:
        """Write the sampled episodes of the panel's first tasks down."""
        kept = played(sampled[: self.config.evaluation.record * self.config.evaluation.episodes])
        if kept:
            content = self.recorder.file(kept, self.sampler.batch(kept))
            if self.ranks.first:
                self.run_dir.write_trajectories(point, content)

    def _diagnostics(self) -> dict[str, float]:
        """What prompts and engine noticed since the last call."""
        dropped = self.prompts.take_dropped(self.ranks.summed)
        return (dropped or {}) | self.player.engine.take_diagnostics()

    def _clock(self) -> "Clock":
        self.ledger.meter.start()
        return Clock()

    def _record_times(self, clock: "Clock") -> None:
        line = {"iteration": self.iteration, **clock.seconds, **self.ledger.meter.take()}
        if self.ranks.first:
            append_line(self.run_dir.timing, line)

    def _record(self, kind: str, values: dict[str, float]) -> None:
        spent: dict[str, float] = {axis: self.ledger.spent(axis) for axis in COUNTED_AXES}
        if self.config.budget.axis is BudgetAxis.gpu_seconds:
            spent["gpu_seconds"] = self.seconds
        if self.ranks.first:
            self.run_dir.check_lease()
            append_line(self.run_dir.metrics, {"kind": kind, "iteration": self.iteration, **spent, **values})

    def _checkpoint(self) -> None:
        moments = self.learner.moments()
        if not self.ranks.first:
            return
        state = {name: getattr(self, name) for name in STATE} | {"ledger": self.ledger.to_plain()}
        with self.run_dir.new_checkpoint(self.iteration, state) as folder:
            for name, model in self._models().items():
                save_model(folder, name, model)
            for name, each in moments.items():
                save_moments(folder, name, each)
        self.checkpoint_time = time.monotonic()

    def _models(self) -> dict[str, nn.Module]:
        """The models of a checkpoint, by their names there."""
        models = {
            "policy": self.learner.policy,
            "critic": self.learner.critic,
            "previous": self.learner.previous,
            "behaviour": self.ahead.policy if self.ahead else None,
        }
        return {name: model for name, model in models.items() if model is not None}

    def _resume(self) -> None:
        """Go back to the newest intact checkpoint, if there is one, and note the attempt."""
        rewound = self.run_dir.rewind() if self.ranks.first else None
        checkpoint = self.ranks.from_first(rewound.checkpoint if rewound else None)
        if checkpoint is not None:
            self._load(checkpoint)
        if rewound is None:
            return
        for damage in rewound.damages:
            print(damage)
        self.run_dir.drop_trajectories(self.point)
        code = code_version(self.config.algorithm, self.config.env)
        append_line(self.run_dir.attempts, attempt(self.iteration, redone(rewound, self.ledger), code))

    def _load(self, checkpoint: Path) -> None:
        state = read_json(checkpoint / "state.json")
        for name in STATE:
            setattr(self, name, state[name])
        self.books.load(state["ledger"])
        if has_model(checkpoint, "previous"):
            self.learner.remember()
        for name, model in self._models().items():
            load_model(checkpoint, name, model)
        self.learner.load(load_moments(checkpoint))
        if self.ahead:
            self.ahead.version = max(0, self.iteration - 1)


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


def run_alone(overrides: Sequence[str]) -> int:
    """Run the cell of these overrides in this process; returns the exit code."""
    from harness.compose import compose_run
    from harness.compose.help import RUN_USAGE, asked, help_text
    from harness.terminal import show

    if asked(overrides):
        show(help_text(RUN_USAGE, overrides))
        return 0
    config = compose_run(overrides)
    config.env.check()
    check_model(config.model)
    check_engine(config)
    run_dir = RunDir.create(SINGLE, config)
    with run_dir.lease(lost=lambda: os._exit(1)) as lease:
        if lease is None:
            raise UserError(f"another process runs {run_dir.path}")
        with ranks_of(config, run_dir, SINGLE, failed=lambda _: os._exit(1)) as ranks:
            result = Run(config, run_dir, SINGLE, ranks=ranks).finish()
    print(f"{result['measure']} {result['final_score']:.2f}; {run_dir.path}")
    return 0


def main(overrides: Sequence[str]) -> int:
    """`python -m harness.run [KEY=VALUE ...]`: one cell in this process, under `runs/single`, to debug it."""
    # Only here: a cell's process takes its configuration ready-made, without Hydra and without a terminal.
    from harness.terminal import command

    return command("harness.run")(run_alone)(overrides)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
