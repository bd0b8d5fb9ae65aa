"""ALFWorld's engine as `env=alfworld` plays it, beside alfworld's own `AlfredTWEnv`, in one run.

    OMP_NUM_THREADS=1 python -m benchmarks.alfworld            # about two minutes on two cores
    OMP_NUM_THREADS=1 python -m benchmarks.alfworld 16 8       # episodes, steps of each

Both play the same generated games and the same commands, drawn at random beforehand, resets included. Ours:
two worker processes, the episodes on threads, no answer remembered; then batch after batch on the same games
with their memory, as in training; a random policy gains least from it, as it never settles. AlfredTWEnv: its
batch, a process for each episode. All that was shown is compared, text by text and list by list. Rates are by
processor seconds of all processes, which a busy machine does not change, and by the wall's.
"""

import contextlib
import io
import itertools
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from envs.alfworld import AlfworldSpec
from envs.alfworld.engine import AlfworldEngine
from envs.engines import Game
from envs.engines.stage import Stage
from envs.engines.worker import Limits, Workers

EPISODES, STEPS = 64, 20
GAMES = 8
ROUNDS = 12
"""Batches of the training run, on the same games."""
LIMITS = Limits(workers=2, room=64, seconds=600, memory_bytes=8 * 2**30, network=False)
Walk = Sequence[str]
Shown = list[list[tuple[str, tuple[str, ...]]]]
"""For each episode, what each step showed and listed."""


def draw_walks(games: Sequence[str], episodes: int, steps: int, seed: str) -> list[tuple[str, Walk]]:
    """Random valid commands for each episode; none after a win."""
    stage, memory = Stage(AlfworldEngine, len(games)), {}
    walks = []
    for episode in range(episodes):
        game, draw = games[episode % len(games)], random.Random(f"{seed}/{episode}")
        place, walk = memory.setdefault(game, Game(game, stage.scene, True)).start(), []
        while len(walk) < steps and not place.scene.won:
            walk.append(draw.choice(place.scene.commands))
            place = memory[game].follow(place, walk[-1])
        walks.append((game, walk))
    return walks


def processor_seconds() -> float:
    """Of this process and of all that it has started."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = os.sysconf("SC_CLK_TCK")
    running = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in children()]
    return sum(each.ru_utime + each.ru_stime for each in spent) + sum(
        (int(each[11]) + int(each[12])) / ticks for each in running
    )


def children() -> list[int]:
    """The processes that this one has started and that still run."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(pid) for each in tasks for pid in (each / "children").read_text().split()]


def timed(name: str, work: Callable[[], Shown]) -> tuple[Shown, float]:
    """What was shown, and processor seconds."""
    before, wall = processor_seconds(), time.perf_counter()
    shown = work()
    seconds, wall = processor_seconds() - before, time.perf_counter() - wall
    steps = sum(len(each) - 1 for each in shown)
    rates = f"{steps / seconds:9.1f} /processor s {steps / wall:9.1f} /wall s"
    print(f"{name:28} {steps:6} steps {rates}", flush=True)
    return shown, steps / seconds


def ours(walks: Sequence[tuple[str, Walk]], games: Callable[[str], Game]) -> Shown:
    """Each episode on a thread, as `rollout.barrier=false` plays them."""

    def play(walk: tuple[str, Walk]) -> list[tuple[str, tuple[str, ...]]]:
        game = games(walk[0])
        places = [game.start()]
        for command in walk[1]:
            places.append(game.follow(places[-1], command))
        return [(place.scene.text, place.scene.commands) for place in places]

    with ThreadPoolExecutor(len(walks)) as threads:
        return list(threads.map(play, walks))


def copied(games: Sequence[str], root: Path) -> list[str]:
    """The games in folders as alfworld's loader wants them, which asks a second file for the task's type."""
    for number, game in enumerate(games):
        folder = root / f"trial_{number:03}"
        folder.mkdir()
        shutil.copy(game, folder / "game.tw-pddl")
        (folder / "traj_data.json").write_text(json.dumps({"task_type": "pick_and_place_simple"}))
    return [str(root / f"trial_{number:03}" / "game.tw-pddl") for number in range(len(games))]


def original(games: Sequence[str]) -> Any:
    """AlfredTWEnv's batch of the games, in this order."""
    from alfworld.agents.environment.alfred_tw_env import AlfredTWEnv

    root = Path(tempfile.mkdtemp(prefix="alfworld-benchmark-"))
    files = copied(games, root)
    config = {
        "env": {
            "goal_desc_human_anns_prob": 0,
            "task_types": [1],
            "domain_randomization": False,
            "expert_type": "planner",
        },
        "dataset": {"data_path": str(root), "num_train_games": -1},
        "general": {"training_method": "dqn"},
        "rl": {"training": {"max_nb_steps_per_episode": 10_000}},
    }
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        batched = AlfredTWEnv(config, train_eval="train").init_env(batch_size=len(games))
    batched._gamefiles_iterator = itertools.cycle(files)  # its own order is shuffled
    return batched


def theirs(env: Any, walks: Sequence[tuple[str, Walk]]) -> Shown:
    """The batch in step: an episode that has ended looks on, and is not counted."""
    texts, infos = env.reset()
    listed = infos["admissible_commands"]
    shown: Shown = [[(text, tuple(commands))] for text, commands in zip(texts, listed, strict=True)]
    for step in range(max(len(walk) for _, walk in walks)):
        commands = [walk[step] if step < len(walk) else "look" for _, walk in walks]
        texts, _, _, infos = env.step(commands)
        for episode, (_, walk) in enumerate(walks):
            if step < len(walk):
                shown[episode].append((texts[episode], tuple(infos["admissible_commands"][episode])))
    return shown


def main() -> None:
    episodes, steps = (int(each) for each in (*sys.argv[1:], EPISODES, STEPS)[:2])
    spec = AlfworldSpec(train_tasks=GAMES, eval_tasks=GAMES)
    games = [spec.game_name(task) for task in spec.training_panel()]
    walks = draw_walks(games, episodes, steps, "one")
    workers = Workers(AlfworldSpec.engine, LIMITS)
    ours([(game, []) for game, _ in walks], lambda name: Game(name, workers.scene, False))  # processes start
    batch = original([game for game, _ in walks])
    batch.reset()  # and theirs
    print(f"{episodes} episodes of up to {steps} commands, {GAMES} games of {spec.receptacles} receptacles")
    known, base = timed("AlfredTWEnv, a process each", lambda: theirs(batch, walks))
    batch.close()
    forgetful = partial(Game, play=workers.scene, markov=False)
    alone, mine = timed("env=alfworld, 2 workers", lambda: ours(walks, forgetful))
    assert alone == known, "not the same game"
    memory = {game: Game(game, workers.scene, True) for game in games}
    rounds = [draw_walks(games, episodes, steps, str(number)) for number in range(ROUNDS)]
    shown, remembering = timed(
        f"  with memory, {ROUNDS} batches",
        lambda: [each for walks in rounds for each in ours(walks, memory.__getitem__)],
    )
    asked = sum(game.played for game in memory.values())
    print(f"asked of the engine: {asked} of {sum(len(each) - 1 for each in shown)} steps")
    print(f"by processor seconds: {mine / base:.1f} x AlfredTWEnv, with memory {remembering / base:.1f} x")


if __name__ == "__main__":
    main()
