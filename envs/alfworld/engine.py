"""ALFWorld's text engine, command by command: TextWorld's `PddlEnv` inside alfworld's wrappers.

What is shown is theirs to the letter (`tests/envs/test_alfworld.py` plays both side by side). What they do
at every step or reset and is here done once: translating a game's PDDL, parsing its grammar
(`envs/alfworld/grammar.py`), and deriving the commands, each of which follows from its operator alone.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import fast_downward
import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler, AlfredInfos
from textworld.envs.pddl.pddl import PddlEnv

from envs.alfworld.grammar import Bound
from envs.alfworld.position import Choice, Operation, Position, loaded
from envs.engines import Engine, Scene

FREE: list[Any] = []
"""Fast Downward's libraries of games that ended. Each game needs its own, a file of 34 MB that is copied and
loaded; unloading one crashes the process when it ends."""


class AlfworldEngine(Engine):
    """A game in ALFWorld's format; its name is the file's path."""

    markov: ClassVar[bool] = True

    def __init__(self, game: str) -> None:
        super().__init__(game)
        self._game = QuickEnv(textworld.EnvInfos(won=True, admissible_commands=True))
        self._env = AlfredInfos(AlfredDemangler(self._game, shuffle=False))
        self._env.load(game)

    def start(self) -> Scene:
        return self._scene(self._env.reset())

    def play(self, command: str) -> Scene:
        state, _, _ = self._env.step(command)
        return self._scene(state)

    def close(self) -> None:
        FREE.append(self._game.downward_lib)

    def _scene(self, state: Mapping[str, Any]) -> Scene:
        won = bool(state["won"])
        commands = tuple(state["admissible_commands"])
        return Scene(state["feedback"], self._game.key(), commands, score=float(won), won=won)


class QuickEnv(PddlEnv):  # type: ignore[misc]  # textworld has no types
    """`PddlEnv` that begins again without translating, and gathers only what `AlfworldEngine` shows."""

    def __init__(self, infos: textworld.EnvInfos) -> None:
        textworld.Environment.__init__(self, infos)
        self.downward_lib = FREE.pop() if FREE else fast_downward.load_lib()

    def load(self, game: str) -> None:
        self._loaded = loaded(game)
        self._pddl_state = self._loaded.first
        self._entity_infos = self._get_entity_infos()

    def reset(self) -> Any:
        self._pddl_state = Position(self._loaded, self.downward_lib)
        self.state = textworld.GameState(feedback=self._say("#intro#", {}))
        self._gather_infos()
        return self.state

    def step(self, command: str) -> Any:
        choice = self._valid.get(command.strip())
        said = "Nothing happens."
        if choice is not None:
            self._pddl_state.apply(choice)
            said = self._say(choice.operation.feedback_rule, choice.operation.mapping)
        self.state = textworld.GameState(feedback=said)
        self._gather_infos()
        return self.state, int(self.state["won"]), self.state["won"]

    def key(self) -> str:
        """See `Position.key`."""
        return str(self._pddl_state.key())

    def _gather_infos(self) -> None:
        self._valid: dict[str, Choice] = {}
        for choice in self._pddl_state.all_applicable_actions():
            # Of two that have the same command, PddlEnv takes the first.
            self._valid.setdefault(self._command(choice.operation), choice)
        self.state["admissible_commands"] = sorted(self._valid)
        self.state["won"] = self._pddl_state.check_goal()

    def _command(self, operation: Operation) -> str:
        if operation.command is None or operation.varies:
            names = {
                each.name: self._entity_infos[thing.name].name for each, thing in operation.mapping.items()
            }
            said = self._say(operation.template, operation.mapping)
            operation.command = said.format(**names)
        return operation.command

    def _say(self, start: str, mapping: Mapping[Any, Any]) -> str:
        named = {each.name: self._entity_infos[thing.name] for each, thing in mapping.items()}
        context = {
            "state": self._pddl_state,
            "facts": [],
            "variables": Bound(named),
            "mapping": Bound(mapping),
            "entity_infos": self._entity_infos,
        }
        return self._loaded.grammar.derive(start, context)
