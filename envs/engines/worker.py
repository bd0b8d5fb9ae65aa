"""Worker processes as the process sees them that plays episodes."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

from envs.engines.engine import Scene


@dataclass(frozen=True)
class Limits:
    """What worker processes may take."""

    workers: int
    """Processes."""
    room: int
    """Running games in each."""
    seconds: float
    """The longest wait for an answer."""
    memory_bytes: int
    """Memory of a process."""
    network: bool
    """Whether connections may leave the machine."""


ENDED: list["subprocess.Popen[bytes]"] = []
"""Processes that were told to end; nobody waits for them. They end when the last environment goes, in a
finalizer, and Python swallows an interrupt that comes while a finalizer waits."""


class EngineFailed(RuntimeError):
    """A game raised an error, or its process died."""


class Worker:
    """One process. It is started when something is asked, and anew after it has died: a question names the
    whole position, so nothing is lost but the time to play up to it."""

    def __init__(self, engine: str, limits: Limits) -> None:
        self._engine, self._limits = engine, limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def scene(self, game: str, commands: Sequence[str]) -> Scene:
        """What the game shows after the commands; raises `EngineFailed` or `TimeoutError`."""
        with self._lock:
            answer = self._ask([game, list(commands)])
        if "error" in answer:
            raise EngineFailed(answer["error"])
        scene = answer["scene"]
        return Scene(**{**scene, "commands": tuple(scene["commands"])})

    def close(self) -> None:
        """End the process, and what it has started."""
        with self._lock:
            self._end()

    def _ask(self, question: list[object]) -> dict[str, Any]:
        if self._process is None:
            self._start()
        try:
            self._connection.send_bytes(json.dumps(question).encode())
            if not self._connection.poll(self._limits.seconds):
                self._end()
                raise TimeoutError(f"the game gave no answer in env.answer_seconds={self._limits.seconds:g}")
            answer: dict[str, Any] = json.loads(self._connection.recv_bytes())
        except (EOFError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise EngineFailed(self._last_words()) from None
        return answer

    def _start(self) -> None:
        ENDED[:] = [process for process in ENDED if process.poll() is None]
        ours, theirs = socket.socketpair()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  closed when the process has ended
        given = {"socket": theirs.fileno(), "engine": self._engine, **asdict(self._limits)}
        # Unbuffered: what a game says just before it takes the process down would be lost in a buffer.
        self._process = subprocess.Popen(
            [sys.executable, "-u", "-m", "envs.engines.serve", json.dumps(given)],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            pass_fds=[theirs.fileno()],
            process_group=0,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        self._connection = Connection(ours.detach())

    def _last_words(self) -> str:
        """Why the process is no more, and its end."""
        assert self._process is not None
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").split("\n")
        words = next((line.strip() for line in reversed(lines) if line.strip()), "")
        self._end()
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        return f"its process {ended}" + (f": {words}" if words else "")

    def _end(self) -> None:
        if self._process is None:
            return
        self._connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        ENDED.append(self._process)
        self._process = None
        self._said.close()


class Workers:
    """The worker processes of one engine class. A game is played by one of them, which has it loaded.

    The processes end with this object.
    """

    def __init__(self, engine: str, limits: Limits) -> None:
        self._workers = [Worker(engine, limits) for _ in range(limits.workers)]
        self._homes: dict[str, Worker] = {}
        weakref.finalize(self, _close, self._workers)

    def scene(self, game: str, commands: Sequence[str]) -> Scene:
        """See `Worker.scene`."""
        worker = self._homes.setdefault(game, self._workers[len(self._homes) % len(self._workers)])
        return worker.scene(game, commands)


def _close(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.close()
