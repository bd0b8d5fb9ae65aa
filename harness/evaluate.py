"""Success and score on the frozen panel, sampled and greedy, outside the budget."""

from dataclasses import dataclass

from harness.config import RunConfig
from harness.ledger import Ledger, Phase, TransformerFlops
from harness.records import Trajectory
from harness.rollout.account import Account
from harness.rollout.episodes import Episode, Player
from harness.summary import check_lost, mean, outcomes, played


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    metrics: dict[str, float]
    """Means over the panel, by name."""
    sampled: list[Trajectory]
    """The sampled episodes, task by task in the panel's order."""


def evaluate(
    config: RunConfig, player: Player, forms: TransformerFlops, ledger: Ledger, point: int
) -> Evaluation:
    """Play the panel: `evaluation.episodes` sampled episodes per task, and a greedy one."""
    per_task = config.evaluation.episodes
    panel = config.env.evaluation_panel()

    # The evaluation's number is part of the group's, so that evaluations of one run err independently.
    episodes = [
        Episode(task, group=point * len(panel) + i, rollout=r, seed=r, greedy=r == per_task)
        for i, task in enumerate(panel)
        for r in range(per_task + 1)
    ]
    greedy = [episode for episode in episodes if episode.greedy]
    sampled = [episode for episode in episodes if not episode.greedy]
    account = Account(ledger, forms, Phase.evaluation)
    player.engine.sync()
    player.play(episodes, "evaluation", account)
    player.engine.release()
    trajectories = [episode.trajectory() for episode in sampled]
    greedy_played = played([episode.trajectory() for episode in greedy])
    check_lost(trajectories, config.rollout.max_lost)
    scored = played(trajectories)
    steps = [step for trajectory in scored for step in trajectory.steps]
    metrics = {
        "success": mean([trajectory.success for trajectory in scored]),
        **({"greedy_success": mean([t.success for t in greedy_played])} if greedy_played else {}),
        "failures": mean([bool(episode.failure) for episode in (*sampled, *greedy)]),
        "episode_steps": mean([len(trajectory.steps) for trajectory in scored]),
        "valid_actions": mean([step.valid for step in steps]),
        "entropy": mean([float(step.entropy_L.mean()) for step in steps]),
        **outcomes(trajectories),
    }
    if config.env.graded:
        metrics["score"] = mean([trajectory.score for trajectory in scored])
        if greedy_played:
            metrics["greedy_score"] = mean([trajectory.score for trajectory in greedy_played])
    return Evaluation(metrics, trajectories)
