"""How fast the WebShop environment is, at first sight of its pages and once it remembers them.

    python -m benchmarks.webshop [--episodes 1000]

Plays the same episodes twice in one process, with a shop that was just made: half of them perfect purchases,
half random clicks and searches, on the authored catalogue. Processor seconds of one core; memory is what the
process holds more after the second time than before it, divided by the episodes, all of them still there.
"""

import argparse
import random
import time
from pathlib import Path

from envs.base import Split
from envs.webshop import WebShop, WebShopSpec
from envs.webshop.files import opened
from envs.webshop.goals import Goals
from envs.webshop.wishes import fulfilling

SPEC = WebShopSpec(goals=Goals.synthetic, train_tasks=200, eval_tasks=100, split=Split.unseen)


def script(number: int) -> list[str]:
    """What an episode begins with: a perfect purchase, or, every second time, nothing."""
    goal = SPEC.goal(SPEC.task("train", number % SPEC.train_tasks))
    shop = SPEC.opened().shop
    if number % 2:
        return []
    title = shop.products[goal.asin].title
    return [f"search[{title}]", f"click[{goal.asin.lower()}]", *(fulfilling(shop, goal) or ())]


def play(number: int, actions: list[str]) -> tuple[WebShop, int, bool]:
    """One episode: the environment, its steps, whether it succeeded. It goes on at random after `actions`."""
    env, task = SPEC.make(), SPEC.task("train", number % SPEC.train_tasks)
    _, info = env.reset(task)
    draw, steps, over = random.Random(number), 0, False
    while not over:
        if steps < len(actions):
            action = actions[steps]
        elif draw.random() < 0.2:
            action = f"search[{' '.join(draw.choices(task.goal.split(), k=3))}]"
        else:
            action = draw.choice(info.admissible)
        _, _, ended, cut, info = env.step(action)
        steps, over = steps + 1, ended or cut
    return env, steps, info.success


def timed(scripts: list[list[str]]) -> tuple[float, list[WebShop], float]:
    """Steps per processor second, the environments as they were left, and the share of successes."""
    start = time.process_time()
    played = [play(number, actions) for number, actions in enumerate(scripts)]
    rate = sum(steps for _, steps, _ in played) / (time.process_time() - start)
    return rate, [env for env, _, _ in played], sum(success for _, _, success in played) / len(played)


def held() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--episodes", type=int, default=1000)
    episodes = parser.parse_args().episodes
    start, before = time.process_time(), held()
    SPEC.training_panel()
    made = f"{time.process_time() - start:.2f} s, {(held() - before) / 2**20:.0f} MiB"
    scripts = [script(number) for number in range(episodes)]
    opened.cache_clear()  # a shop that has seen none of them
    first, _, won = timed(scripts)
    before = held()
    again, environments, _ = timed(scripts)
    each = (held() - before) / len(environments)
    print(f"shop and panel made: {made}; {len(SPEC.opened().shop.products)} products")
    print(
        f"first visit: {first:,.0f} steps/s; remembered: {again:,.0f} steps/s; {won:.2f} of episodes succeed"
    )
    print(f"memory: {each / 1024:.1f} KiB per open episode")


if __name__ == "__main__":
    main()
