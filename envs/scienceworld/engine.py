"""ScienceWorld's Java program, as an `Engine`. Only worker processes import this module.

One Java machine runs many games here. The program keeps three things common to all of them: a random
generator, a counter of object numbers, and the simplifications. They are set before each call, the random
generator by the game and the number of the command. The order of things that the program lists is that of
Java's identity hashes, which differ between processes; `OPTIONS` make them all alike, so that the order is
that in which things were made. With both, the same commands always show the same scenes.
"""

import hashlib
import json
import zlib

from envs.engines import Scene
from envs.engines.java import JavaEngine
from envs.scienceworld.package import PACKAGE

OPTIONS = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")
QUESTION = "Ambiguous request"
"""How the program begins when it asks which of several things was meant; a number answers it."""


class ScienceWorld(JavaEngine):
    """One game. Its name is a JSON list: task, variation, simplifications."""

    package = PACKAGE
    options = OPTIONS

    def load(self) -> None:
        self._game = self.java.scienceworld.runtime.pythonapi.PythonInterface()
        self._numbers = self.java.util.UniqueIdentifier
        self._random = getattr(getattr(self.java.scala.util, "Random$"), "MODULE$")
        self._simplifier = self.java.main.scala.scienceworld.runtime.SimplifierProcessor

    def begin(self) -> Scene:
        task, variation, simplifications = json.loads(self.game)
        wrong = self._game.load(task, variation, simplifications, False)
        if wrong:
            raise ValueError(wrong)
        self._commands = 0
        self._simplifications = self._game.getSimplificationsUsed().replace(", ", ",")
        self._next_number = self._numbers.count()
        # As the package's own reset() does: the first look counts the score that the start is worth.
        return self.give("look around", self._game.getTaskDescription())

    def give(self, command: str, goal: str = "") -> Scene:
        self._take_turns()
        text = self._game.step(command)
        self._commands += 1
        self._next_number = self._numbers.count()
        self._take_turns()
        look, carried = self._game.freeActionLook(), self._game.freeActionInventory()
        score = self._game.getScore()
        completed = self._game.getCompleted()
        question = text if text.startswith(QUESTION) else ""
        return Scene(
            text=text,
            key=key(look, carried, question, score),
            view=f"{look}\n{carried}",
            goal=goal,
            score=max(0.0, score),
            won=completed and score >= 1,
            over=completed or score < 0,
        )

    def valid_commands(self) -> list[str]:
        """What the program lists as possible here, sorted: hundreds, in a tenth of a second."""
        self._take_turns()
        listed = self._game.getValidActionObjectCombinations()
        return sorted(self.java.java.lang.String.join("\n", listed).split("\n"))

    def _take_turns(self) -> None:
        """Set what is common to the games of this Java machine to this game's own."""
        getattr(self._numbers, "count_$eq")(self._next_number)
        self._simplifier.parseSimplificationStr(self._simplifications)
        self._random.setSeed(zlib.crc32(f"{self.game}/{self._commands}".encode()))


def key(look: str, carried: str, question: str, score: float) -> str:
    """Names what can be seen, whatever the order of its lines."""
    seen = [sorted(look.split("\n")), sorted(carried.split("\n")), question, score]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:16]
