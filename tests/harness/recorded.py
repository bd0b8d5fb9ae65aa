"""Trajectories as their writers write them, for `harness.credit`."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np

from harness.records.batch import COLUMNS
from harness.records.columns import per_token
from harness.records.files import COLUMN_KEYS

NUMBERS = [name for name in COLUMN_KEYS if not COLUMNS[name].text]


def step(reward: float = 0, tokens: int = 1, **others: Any) -> dict[str, Any]:
    return {"reward": reward, "response_ids": list(range(tokens)), **others}


def trajectory(name: str = "t", *steps: dict[str, Any], **others: Any) -> dict[str, Any]:
    solved = bool(steps) and steps[-1]["reward"] > 0
    first = {"version": 2, "id": name, "group": "g", "success": solved, "steps": list(steps) or [step()]}
    return {**first, **others}


def complete() -> list[dict[str, Any]]:
    """Two groups of ragged trajectories with every field, one of each group a continuation."""
    noise = np.random.default_rng(0)
    made = []
    for group in ("g", "h"):
        roots = [trajectory(f"{group}{i}", *ragged(noise, i % 2), group=group) for i in range(3)]
        parent = roots[1]
        kept = parent["steps"][0]
        last = {**ragged(noise, 1)[-1], "response_ids": [*parent["steps"][1]["response_ids"][:1], 5, 6, 7]}
        child = trajectory(f"{group}3", kept, with_numbers(last, noise), group=group)
        made += [*roots, {**child, "parent": parent["id"], "branch_step": 1, "branch_token": 1}]
    return made


def ragged(noise: np.random.Generator, reward: int) -> list[dict[str, Any]]:
    steps = []
    count = int(noise.integers(2, 5))
    for left in range(count, 0, -1):
        state = str(noise.choice(["a", "b"]))
        texts = {"state": state, "observation": f"room {state}", "valid": bool(noise.random() < 0.8)}
        texts |= {"action": "go"}
        ids = noise.integers(0, 50, noise.integers(2, 5)).tolist()
        others = {
            **texts,
            **{COLUMN_KEYS[name]: noise.normal() for name in NUMBERS if not per_token(name)},
            "prompt_ids": [1, 2],
            "info": {"anything": [None]},
        }
        bare = {"reward": reward * (left == 1), "response_ids": ids, **others}
        steps.append(with_numbers(bare, noise))
    return steps


def with_numbers(bare: dict[str, Any], noise: np.random.Generator) -> dict[str, Any]:
    length = len(bare["response_ids"])
    drawn = {}
    for name in filter(per_token, NUMBERS):
        sign = -1 if name.endswith("logprob_T") else 1
        drawn[COLUMN_KEYS[name]] = (sign * noise.uniform(0, 2, length)).tolist()
    tokens = [f"word{i}" for i in bare["response_ids"]]
    return {**bare, **drawn, "tokens": tokens, "choices": [True] * (length - 1) + [False]}


def text(trajectories: Iterable[Any]) -> str:
    return "".join(json.dumps(each) + "\n" for each in trajectories)
