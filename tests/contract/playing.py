"""Random play of any environment, as plain data; as a program, of the environment that it reads.

It imports no more than an environment does, so that a process of its own starts fast.
"""

import os
import pickle
import random
import subprocess
import sys

from envs.base import ClosedVocabulary, EnvironmentSpec, Info

NONSENSE = "open the pod bay doors"
Trace = list[tuple]
"""(observation, info), then (action, *transition) for each step."""


def said(spec: EnvironmentSpec, info: Info, draw: random.Random) -> str:
    """A random valid action, or random words where actions are free text."""
    if spec.lists_actions:
        return draw.choice(info.admissible)
    words = spec.vocabulary() if isinstance(spec, ClosedVocabulary) else NONSENSE.split()
    return " ".join(draw.choices(words, k=min(3, spec.max_action_tokens - 1)))


def play(spec: EnvironmentSpec, index: int, seed: int, bad: bool = False) -> Trace:
    """An episode of random play; `bad` mixes in an invalid action."""
    env, draw = spec.make(), random.Random(seed)
    observation, info = env.reset(spec.training_panel()[index], seed)
    trace: Trace = [(observation, info)]
    over = False
    while not over:
        action = NONSENSE if bad and len(trace) == 2 else said(spec, info, draw)
        transition = env.step(action)
        trace.append((action, *transition))
        info, over = transition.info, transition.terminated or transition.truncated
    env.close()
    return trace


def in_another_process(spec: EnvironmentSpec, hash_seed: str) -> tuple[str, Trace]:
    """`panel_and_play` in a process whose sets of strings are in another order."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.playing"],
        input=pickle.dumps(spec),
        stdout=subprocess.PIPE,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    return pickle.loads(done.stdout)


def panel_and_play(spec: EnvironmentSpec) -> tuple[str, Trace]:
    """The panel's hash, and an episode of its second task."""
    return spec.panel_hash(), play(spec, 1, 4)


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(panel_and_play(pickle.load(sys.stdin.buffer))))
