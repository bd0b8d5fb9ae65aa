"""TextWorldExpress's Java program, as an `Engine`. Only worker processes import this module."""

import hashlib
import json
from typing import Any

from envs.engines import Scene
from envs.engines.java import JavaEngine
from envs.textworld_express.package import PACKAGE


class TextWorldExpress(JavaEngine):
    """One game. Its name is a JSON list: world, parameters, fold, seed.

    The seed is always given: without one the program repeats the last seeded game.
    """

    package = PACKAGE

    def load(self) -> None:
        world, parameters, self._fold, self._seed = json.loads(self.game)
        self._game = self.java.textworldexpress.runtime.PythonInterface()
        wrong = self._game.load(world, parameters)
        if wrong:
            raise ValueError(f"env.parameters={parameters}: {wrong.strip()}")

    def begin(self) -> Scene:
        shown = json.loads(self._game.generateNewGameJSON(self._seed, self._fold, False))
        if shown["taskfailure"]:
            raise ValueError(shown["observation"])
        return scene(shown, self._game.getTaskDescription())

    def give(self, command: str) -> Scene:
        return scene(json.loads(self._game.stepJSON(command)))


def scene(shown: dict[str, Any], goal: str = "") -> Scene:
    """What the program says, with the commands sorted: it lists them in the order of a hash map."""
    seen = f"{shown['look']}\n{shown['inventory']}"
    won = shown["tasksuccess"] or shown["score"] >= 1
    failed = shown["taskfailure"] and not won
    state = json.dumps([seen, shown["score"], won, failed])
    return Scene(
        text=shown["observation"],
        key=hashlib.sha256(state.encode()).hexdigest()[:16],
        commands=tuple(sorted(set(shown["validActions"]))),
        view=seen,
        goal=goal,
        score=0.0 if failed else shown["score"],
        won=won,
        over=failed,
    )
