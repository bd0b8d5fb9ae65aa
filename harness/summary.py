"""An iteration in a few numbers, as `metrics.jsonl` has them."""

from harness.evaluate import mean
from harness.records import Trajectory


def summary(trajectories: list[Trajectory]) -> dict[str, float]:
    """What the rollouts were like."""
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    return {
        "train_success": mean([trajectory.success for trajectory in trajectories]),
        "train_failures": mean([bool(trajectory.failure) for trajectory in trajectories]),
        "train_steps": mean([len(trajectory.steps) for trajectory in trajectories]),
        "train_valid_actions": mean([step.valid for step in steps]),
    }


def check_environments(trajectories: list[Trajectory]) -> None:
    """Raise RuntimeError where no environment worked: one may crash, but nothing can be learnt from none."""
    if all(trajectory.failure for trajectory in trajectories):
        raise RuntimeError(f"every environment failed, the last one by {trajectories[-1].failure}")


def average(metrics: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric over an iteration's optimiser steps."""
    names = dict.fromkeys(name for each in metrics for name in each)
    return {name: mean([each[name] for each in metrics if name in each]) for name in names}
