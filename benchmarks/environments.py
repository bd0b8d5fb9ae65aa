"""How fast environments answer, what they take of memory, and how often their states recur.

    OMP_NUM_THREADS=1 python -m benchmarks.environments                     # all that can run here
    OMP_NUM_THREADS=1 python -m benchmarks.environments vault textworld env.horizon=30

One process plays 64 episodes of random play (random words where actions are free text), 1, 4, 16 or 64 at
once and in step with each other, and 256 at once; each number in a fresh process. Episodes take the training
tasks in turn, so that those of a task share beginnings, as a training batch's groups do. Then the same
actions once more: what is remembered by then is not played again. Seconds are processor seconds of the
process and of all that it started, beginnings of episodes apart. Memory is what the processes hold (Pss)
beyond what this one held before the first episode: with 1 at once mostly what games need to run at all, so
that an episode more takes the difference to 64, by 63. States are (task, state key); `recur` is the share
that was seen before; observations are in characters. Environments are kept by task, as runs keep them.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from envs.base import ClosedVocabulary, Environment, EnvironmentSpec, Info, Task
from harness.compose import compose_environment
from harness.compose.composing import group_options
from harness.errors import UserError
from harness.rollout.environments import EnvironmentPool

COUNTS = (1, 4, 16, 64, 256)
SHOWN = 64
"""Episodes at once that all columns but the speeds are of; as many are played at least."""
LIMIT = 60.0
"""Seconds of the clock after which a pass is cut short."""
WORDS = ["open", "the", "pod", "bay", "doors"]


@dataclass
class Pass:
    """What a pass over the episodes took and showed."""

    steps: int = 0
    seconds: float = 0.0
    """Of all steps."""
    begun: int = 0
    """Episodes."""
    beginning: float = 0.0
    """Seconds of all their beginnings."""
    rounds: int = 0
    """Steps of all episodes at once."""
    characters: int = 0
    """Of all observations."""
    states: set[tuple[str, str]] = field(default_factory=set)

    def saw(self, episode: "Episode") -> None:
        """Count what was shown."""
        self.characters += sum(len(observation) for observation, _ in episode.shown)
        self.states |= {(episode.task.id, info.state_key) for _, info in episode.shown}

    @property
    def shown(self) -> int:
        """Observations."""
        return self.steps + self.begun


@dataclass
class Episode:
    """An episode under way."""

    task: Task
    number: int
    environment: Environment
    over: bool = False
    shown: list[tuple[str, Info]] = field(default_factory=list)

    def begin(self) -> None:
        """Reset."""
        self.draw = random.Random(self.number)
        self.shown.append(self.environment.reset(self.task, self.number))

    def step(self, spec: EnvironmentSpec) -> None:
        """Take a random action."""
        action = said(spec, self.shown[-1][1], self.draw)
        observation, _, terminated, truncated, info = self.environment.step(action)
        self.shown.append((observation, info))
        self.over = terminated or truncated


@dataclass(frozen=True)
class Result:
    """A line's numbers for one number of episodes at once."""

    first: float
    """Steps a second when nothing is remembered at the start."""
    again: float
    """The same actions once more."""
    beginning: float
    """Seconds an episode's beginning takes the first time."""
    memory: float
    """Bytes of all episodes."""
    recurring: float
    """Share of observations whose state was seen before in the same task."""
    length: float
    """Characters of an observation."""


def processes() -> list[int]:
    """This process and all that it and they started."""
    found = [os.getpid()]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def others() -> int:
    """Processor nanoseconds of all threads of the processes that this one started."""
    spent = 0
    for pid in processes()[1:]:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            spent += int(thread.read_text().split()[0])
    return spent


class Timer:
    """Processor seconds of all processes, in a `with` block. Asking the others is not among them."""

    def __enter__(self) -> "Timer":
        self._others = others()
        self._mine = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        mine = time.process_time() - self._mine
        self.seconds = mine + (others() - self._others) / 1e9


def memory() -> int:
    """Bytes that all processes hold, shared pages divided among those that share them."""
    held = 0
    for pid in processes():
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        held += next(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return held


def said(spec: EnvironmentSpec, info: Info, draw: random.Random) -> str:
    """A random admissible action, or random words."""
    if info.admissible:
        return draw.choice(info.admissible)
    words = spec.vocabulary() if isinstance(spec, ClosedVocabulary) else WORDS
    return " ".join(draw.choices(words, k=3))


def play(pool: EnvironmentPool, count: int, enough: Callable[[Pass], bool]) -> Pass:
    """All episodes, `count` at once, until it is `enough`."""
    panel, took = pool.spec.training_panel(), Pass()
    for start in range(0, max(SHOWN, count), count):
        tasks = [(number, panel[number % len(panel)]) for number in range(start, start + count)]
        episodes = [Episode(task, number, pool.take(task)) for number, task in tasks]
        with Timer() as timer:
            for episode in episodes:
                episode.begin()
        took.beginning += timer.seconds
        took.begun += len(episodes)
        with Timer() as timer:
            under_way = episodes
            while under_way and not enough(took):
                for episode in under_way:
                    episode.step(pool.spec)
                took.steps += len(under_way)
                took.rounds += 1
                under_way = [episode for episode in under_way if not episode.over]
        took.seconds += timer.seconds
        for episode in episodes:
            took.saw(episode)
            pool.give_back(episode.task, episode.environment)
        if enough(took):
            break
    return took


def measure(spec: EnvironmentSpec, count: int) -> Result:
    """Play twice in this process."""
    spec.training_panel()
    before = memory()
    pool = EnvironmentPool(spec)
    end = time.monotonic() + LIMIT
    first = play(pool, count, lambda took: time.monotonic() > end)
    held = memory() - before
    again = play(pool, count, lambda took: took.rounds >= first.rounds)
    pool.close()
    return Result(
        first=first.steps / first.seconds,
        again=again.steps / again.seconds,
        beginning=first.beginning / first.begun,
        memory=held,
        recurring=1 - len(first.states) / first.shown,
        length=first.characters / first.shown,
    )


def elsewhere(words: Sequence[str], count: int) -> Result:
    """`measure` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.environments", "--one", str(count), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


HEADER = [
    "environment",
    *map(str, COUNTS),
    f"{SHOWN} again",
    "begin, ms",
    "MB, 1",
    f"MB, {SHOWN}",
    "recur",
    "characters",
]


def row(words: Sequence[str]) -> list[str]:
    """An environment's cells."""
    results = {count: elsewhere(words, count) for count in COUNTS}
    shown = results[SHOWN]
    return [
        words[0],
        *(f"{results[count].first:,.0f}" for count in COUNTS),
        f"{shown.again:,.0f}",
        f"{1000 * shown.beginning:.1f}",
        *(f"{results[count].memory / 1e6:,.1f}" for count in (1, SHOWN)),
        f"{shown.recurring:.2f}",
        f"{shown.length:.0f}",
    ]


def main(arguments: Sequence[str]) -> None:
    """Print a table in Markdown, a row as soon as it is known, and what could not run."""
    if arguments[:1] == ["--one"]:
        print(json.dumps(asdict(measure(compose_environment(arguments[2:]), int(arguments[1])))))
        return
    options = [each for each in arguments if "=" in each]
    names = [each for each in arguments if "=" not in each] or group_options("env")
    print(f"steps a second of random play, by episodes at once\n\n| {' | '.join(HEADER)} |")
    print("|---|" + "---:|" * (len(HEADER) - 1), flush=True)
    missing = []
    for name in names:
        try:
            compose_environment([name, *options]).check()
        except UserError as error:
            missing.append(f"{name}: {error}")
            continue
        print(f"| {' | '.join(row([name, *options]))} |", flush=True)
    print("", *missing, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
