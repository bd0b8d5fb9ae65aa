"""An iteration in a few numbers, as `metrics.jsonl` has them."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from harness.records import Trajectory


def mean(values: Sequence[bool] | Sequence[int] | Sequence[float]) -> float:
    """The arithmetic mean; NaN of nothing."""
    return float(sum(values) / len(values)) if values else float("nan")


def played(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """Those that say something about the policy: no environment was lost."""
    return [trajectory for trajectory in trajectories if not trajectory.stop.lost]


def summary(trajectories: Sequence[Trajectory], graded: bool) -> dict[str, float]:
    """What the rollouts were like. Lost episodes count among `train_failures` and the stop reasons alone."""
    scored = played(trajectories)
    steps = [step for trajectory in scored for step in trajectory.steps]
    score = {"train_score": mean([trajectory.score for trajectory in scored])} if graded else {}
    return {
        "train_success": mean([trajectory.success for trajectory in scored]),
        "train_failures": mean([bool(trajectory.failure) for trajectory in trajectories]),
        "train_steps": mean([len(trajectory.steps) for trajectory in scored]),
        "train_valid_actions": mean([step.valid for step in steps]),
        **score,
        **{f"train_{name}": value for name, value in outcomes(trajectories).items()},
    }


def outcomes(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Why episodes ended, how many steps were ill-formed, and what environments say of themselves.

    stop_REASON   share of the episodes with this stop reason; reasons that none has are left out
    ill_formed    share of the steps whose response was not in the form that was asked for; left out if none
    env_NAME      mean of the environment's own number over the episodes that have it
    """
    stops = Counter(trajectory.stop for trajectory in trajectories)
    shares = {f"stop_{stop.value}": stops[stop] / len(trajectories) for stop in sorted(stops, key=str)}
    formed = [step.well_formed for trajectory in trajectories for step in trajectory.steps]
    ill = {} if all(formed) else {"ill_formed": 1 - mean(formed)}
    own: defaultdict[str, list[float]] = defaultdict(list)
    for trajectory in played(trajectories):
        for name, value in trajectory.metrics.items():
            own[name].append(float(value))
    return {**shares, **ill, **{f"env_{name}": mean(values) for name, values in sorted(own.items())}}


def check_lost(trajectories: Sequence[Trajectory], most: float) -> None:
    """Raise RuntimeError if more than one episode, and more than a share `most`, was lost.

    Such a run would be scored by its environments' failures.
    """
    lost = [trajectory for trajectory in trajectories if trajectory.stop.lost]
    if len(lost) > max(1.0, most * len(trajectories)) or len(lost) == len(trajectories):
        raise RuntimeError(
            f"{len(lost)} of {len(trajectories)} episodes were lost to their environments (rollout.max_lost="
            f"{most:g}), the last one by {lost[-1].failure}"
        )


def average(metrics: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric over an iteration's optimiser steps."""
    names = dict.fromkeys(name for each in metrics for name in each)
    return {name: mean([each[name] for each in metrics if name in each]) for name in names}
