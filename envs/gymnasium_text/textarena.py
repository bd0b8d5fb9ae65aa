"""textarena's single-player games with Gymnasium's interface."""

from typing import Any


class SinglePlayer:
    """A game of textarena for one player.

    textarena returns neither observations nor rewards from `step`. What a game says is read from its form
    without wrappers: each text once, in turn, where the others repeat all of them in every observation. The
    reward comes at the end, with the game's own account (`reason`, `invalid_move`, `turn_count`).
    """

    def __init__(self, env_id: str, **options: object) -> None:
        import textarena

        self._env: Any = textarena.make(f"{env_id}-raw", **options)
        self._own = textarena.ObservationType.PLAYER_ACTION

    @property
    def state(self) -> Any:
        """The game's own state."""
        return self._env.state

    def reset(self, seed: int | None = None) -> tuple[str, dict[str, Any]]:
        """Begin; see Gymnasium."""
        self._env.reset(num_players=1, seed=seed)
        return self._said(), {}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Act; see Gymnasium."""
        done, info = self._env.step(action)
        if not done:
            return self._said(), 0.0, False, False, info
        rewards, account = self._env.close()
        return self._said(), float(rewards[0]), True, False, {**info, **account[0]}

    def _said(self) -> str:
        """What the game has said since the last time, the player's own words aside."""
        _, messages = self._env.get_observation()
        return "\n".join(text for _, text, kind in messages if kind is not self._own)
