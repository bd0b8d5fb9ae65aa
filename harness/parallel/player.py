"""Episodes played by several ranks."""

from collections.abc import Sequence

from harness.config import RolloutConfig
from harness.policy.prompting import Prompting
from harness.ranks import Ranks
from harness.rollout.account import Account
from harness.rollout.engine import Engine
from harness.rollout.environments import EnvironmentPool
from harness.rollout.episodes import Episode, Player


class SharedPlayer(Player):
    """Plays this rank's groups with its own engine, and takes the other ranks' episodes over.

    What is sampled depends on counters that an episode brings along, not on who plays it.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: Prompting,
        pool: EnvironmentPool,
        seed: int,
        rollout: RolloutConfig,
        ranks: Ranks,
    ) -> None:
        super().__init__(engine, prompts, pool, seed, rollout)
        self.ranks = ranks

    def plays(self, group: int) -> bool:
        return self.ranks.owns(group)

    def play(
        self,
        episodes: Sequence[Episode],
        purpose: str,
        account: Account,
        *,
        keep_snapshots: bool = False,
    ) -> None:
        mine = {i: episode for i, episode in enumerate(episodes) if self.plays(episode.group)}
        super().play([*mine.values()], purpose, account, keep_snapshots=keep_snapshots)
        if self.ranks.size == 1:
            return
        for found in self.ranks.gathered({i: episode.trajectory() for i, episode in mine.items()}):
            for i, record in found.items():
                if i not in mine:
                    episodes[i].take_over(record)
