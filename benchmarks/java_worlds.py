"""Steps per second and memory of the Java worlds: `python -m benchmarks.java_worlds [STEPS]`.

Side by side in one run, on the same games and random commands: each package's own wrapper, one object in a
Java machine of its own; our worker process; and the same again, remembered.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from envs.engines import EngineSpec, Game
from envs.scienceworld import ScienceWorldSpec
from envs.textworld_express import TextWorldExpressSpec

GAMES = 4
SCIENCE_COMMANDS = (
    "open door to kitchen",
    "go to kitchen",
    "look around",
    "pick up cup",
    "0",
    "wait1",
    "inventory",
)


def express_package(spec: TextWorldExpressSpec) -> Callable[[int, str], Sequence[str]]:
    """Plays the package's wrapper: (game, command) to the commands that are possible then; "" begins."""
    from textworld_express import TextWorldExpressEnv

    env = TextWorldExpressEnv()
    env.load(spec.world, spec.parameters)

    def play(index: int, command: str) -> Sequence[str]:
        _, info = env.reset(seed=index, gameFold="train") if not command else ("", env.step(command)[3])
        return sorted(info["validActions"])

    return play


def science_package(spec: ScienceWorldSpec) -> Callable[[int, str], Sequence[str]]:
    """As `express_package`; the wrapper lists the possible commands at each step."""
    from scienceworld import ScienceWorldEnv

    env = ScienceWorldEnv()

    def play(index: int, command: str) -> Sequence[str]:
        if not command:
            env.load(spec.names[0], index, spec.simplifications)
            env.reset()
        else:
            env.step(command)
        return SCIENCE_COMMANDS

    return play


def ours(games: Sequence[Game], listed: bool) -> Callable[[int, str], Sequence[str]]:
    """As `express_package`, through worker processes."""
    places = [game.start() for game in games]

    def play(index: int, command: str) -> Sequence[str]:
        game = games[index]
        places[index] = game.follow(places[index], command) if command else game.start()
        return places[index].scene.commands if listed else SCIENCE_COMMANDS

    return play


def speed(play: Callable[[int, str], Sequence[str]], steps: int) -> float:
    """Steps per second over the games, beginnings left out; the same random commands for everybody."""
    draw, seconds = random.Random(0), 0.0
    for index in range(GAMES):
        commands = play(index, "")
        began = time.perf_counter()
        for _ in range(steps):
            commands = play(index, draw.choice(commands))
        seconds += time.perf_counter() - began
    return GAMES * steps / seconds


def resident_mib(holds: str, lacks: str) -> int:
    """The largest resident memory of a process whose command line holds one word and lacks another."""
    found = [0]
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            words = (status.parent / "cmdline").read_text()
            kib = next(line.split()[1] for line in status.read_text().split("\n") if line.startswith("VmRSS"))
        except (OSError, StopIteration):
            continue
        if holds in words and lacks not in words:
            found.append(int(kib) // 1024)
    return max(found)


def measure(name: str, spec: EngineSpec, package: Callable[[int, str], Sequence[str]], steps: int) -> None:
    tasks = spec.training_panel()
    warm, games = ([spec.game(spec.game_name(task)) for task in tasks[at:][:GAMES]] for at in (GAMES, 0))
    mine = ours(games, spec.lists_actions)
    for play in (package, ours(warm, spec.lists_actions)):
        speed(play, steps)  # Java compiles what is used often
    theirs, first, again = speed(package, steps), speed(mine, steps), speed(mine, steps)
    print(f"{name}: package's wrapper {theirs:.0f} steps/s, ours {first:.0f}, remembered {again:.0f}")
    jar, own = f"{name}.jar", "-Xmx"  # the wrappers set no limit of the heap
    print(
        f"  MiB resident: its Java {resident_mib(jar, own)} for 1 game, ours "
        f"{resident_mib(own, 'none')} for {2 * GAMES}, worker {resident_mib('envs.engines.serve', own)}"
    )


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    express = TextWorldExpressSpec(train_tasks=2 * GAMES, eval_tasks=1, horizon=10**6)
    measure("textworld-express", express, express_package(express), steps)
    science = ScienceWorldSpec(train_tasks=2 * GAMES, eval_tasks=1, horizon=10**6)
    measure("scienceworld", science, science_package(science), max(1, steps // 4))


if __name__ == "__main__":
    main()
