"""A game for the tests of `envs.engines`: count up with `add`; other commands misbehave on request."""

import os
import random
import socket
import time

from envs.engines import Engine, Scene


class Counts(Engine):
    """The state is the count. `game` is the number it begins with."""

    markov = True

    def start(self) -> Scene:
        self.count, self.turns = int(self.game), 0
        return self._scene("begun")

    def play(self, command: str) -> Scene:
        self.turns += 1
        if command == "add":
            self.count += 1
        elif command == "dice":
            return self._scene(f"{random.random()}")
        elif command == "pid":
            return self._scene(f"{os.getpid()}")
        elif command == "raise":
            raise ValueError("a bad\ncommand")
        elif command == "die":
            print("the last words")
            os._exit(3)
        elif command == "hang":
            time.sleep(600)
        elif command == "hoard":
            self.hoard = bytearray(3 * 2**30)
        elif command.startswith("connect"):
            socket.create_connection((command.split()[1], 9), timeout=0.01)
        return self._scene(command)

    def _scene(self, text: str) -> Scene:
        return Scene(text, f"{self.count}", ("add",), metrics={"turns": self.turns})


class Histories(Counts):
    markov = False
