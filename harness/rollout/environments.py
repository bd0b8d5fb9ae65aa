"""Environments at work: kept between episodes, called in turn or on threads of their own."""

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from envs.base import Environment, EnvironmentSpec, Task
from harness.errors import UserError

Call = Callable[[], object]


class EnvironmentPool:
    """Environments between episodes, by task: loading a real game is expensive, resetting it is cheap."""

    def __init__(self, spec: EnvironmentSpec) -> None:
        self.spec = spec
        self._free: defaultdict[str, list[Environment]] = defaultdict(list)

    def take(self, task: Task) -> Environment:
        """A free environment that last played this task, or a new one."""
        free = self._free[task.id]
        return free.pop() if free else self.spec.make()

    def give_back(self, task: Task, environment: Environment) -> None:
        """Return an environment whose episode is over."""
        self._free[task.id].append(environment)

    def close(self) -> None:
        """Close every environment in the pool."""
        for environments in self._free.values():
            for environment in environments:
                environment.close()
        self._free.clear()


@dataclass(frozen=True)
class Crash:
    """An environment that gave no answer."""

    reason: str
    late: bool = False
    """Whether it ran out of time."""


class NotRestored(RuntimeError):
    """An environment did not come back to a recorded state. Not a crash: its kind can't be branched."""


def answer(call: Call) -> object:
    """What a call of an environment returns, or that it crashed."""
    try:
        return call()
    except (UserError, NotRestored):
        raise
    except Exception as error:
        late = isinstance(error, TimeoutError)
        return Crash(f"{type(error).__name__}: {' '.join(str(error).split())}", late)


class Calls(ABC):
    """Calls of environments under way, at most one for each episode, known by its number."""

    @abstractmethod
    def start(self, episode: int, call: Call) -> None:
        """Begin a call."""

    @abstractmethod
    def collect(self, *, all_of_them: bool, wait: bool) -> list[tuple[int, object]]:
        """Answers since the last time: `wait` for the first one, or for `all_of_them`."""

    @abstractmethod
    def __len__(self) -> int:
        """Calls whose answers were not collected."""


class InTurn(Calls):
    """One call after another in this thread, when answers are collected."""

    def __init__(self) -> None:
        self._calls: list[tuple[int, Call]] = []

    def start(self, episode: int, call: Call) -> None:
        self._calls.append((episode, call))

    def collect(self, *, all_of_them: bool, wait: bool) -> list[tuple[int, object]]:
        calls, self._calls = self._calls, []
        return [(episode, answer(call)) for episode, call in calls]

    def __len__(self) -> int:
        return len(self._calls)


class AtOnce(Calls):
    """Each call at once in a thread of its own.

    An episode whose calls take more than `seconds` in all is lost. Python can't end a thread: a call that
    hangs keeps its own, which does not outlive the process.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._left: defaultdict[int, float] = defaultdict(lambda: seconds)
        self._under_way: dict[int, tuple[Call, float]] = {}
        """Each episode's call and when its time is up."""
        self._answers: queue.SimpleQueue[tuple[int, Call, object, float]] = queue.SimpleQueue()

    def start(self, episode: int, call: Call) -> None:
        self._under_way[episode] = call, time.monotonic() + self._left[episode]
        threading.Thread(target=self._work, args=(episode, call), daemon=True).start()

    def collect(self, *, all_of_them: bool, wait: bool) -> list[tuple[int, object]]:
        collected: list[tuple[int, object]] = []
        while self._under_way:
            enough = not wait or (collected and not all_of_them)
            first = min(deadline for _, deadline in self._under_way.values())
            try:
                pause = 0.0 if enough else max(0.0, first - time.monotonic())
                episode, call, found, seconds = self._answers.get(timeout=pause)
            except queue.Empty:
                collected += self._expire()
                if enough:
                    break
                continue
            if self._under_way.get(episode, (None,))[0] is not call:
                continue  # its time was up
            del self._under_way[episode]
            self._left[episode] -= seconds
            if isinstance(found, (UserError, NotRestored)):
                raise found
            collected.append((episode, found if self._left[episode] > 0 else self._late()))
        return collected

    def __len__(self) -> int:
        return len(self._under_way)

    def _work(self, episode: int, call: Call) -> None:
        start = time.monotonic()
        try:
            found = answer(call)
        except (UserError, NotRestored) as error:
            found = error
        self._answers.put((episode, call, found, time.monotonic() - start))

    def _expire(self) -> list[tuple[int, object]]:
        now = time.monotonic()
        late = [episode for episode, (_, deadline) in self._under_way.items() if deadline <= now]
        for episode in late:
            del self._under_way[episode]
        return [(episode, self._late()) for episode in late]

    def _late(self) -> Crash:
        return Crash(f"time-out: its environment took more than {self._seconds:g} seconds", late=True)
