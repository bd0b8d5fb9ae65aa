"""Games of other packages: played in processes of their own, remembered, and kept within limits."""

from envs.engines.engine import Engine, Scene
from envs.engines.game import Game, Place
from envs.engines.played import Played
from envs.engines.spec import EngineSpec

__all__ = ["Engine", "EngineSpec", "Game", "Place", "Played", "Scene"]
