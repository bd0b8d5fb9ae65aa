"""The policy that a run starts from, and the warm start of one that knows nothing yet.

A warm start teaches the grammar and nothing about the task: it clones the policy that picks uniformly among
the valid actions. One is made for a (model, environment, seed) and stored; every arm of a sweep loads the
same bytes.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from envs.base import Environment, Task
from harness.config import PretrainedModel, RunConfig, TinyModel
from harness.config.plain import to_plain
from harness.lease import turn
from harness.ledger import Ledger, Phase
from harness.policy.gpt2 import Policy
from harness.policy.inputs import inputs_of
from harness.policy.lora import lora_of
from harness.policy.model import (
    checkpointed,
    closed_forms,
    load_pretrained,
    load_weights,
    new_policy,
    weights,
)
from harness.policy.precision import Placement
from harness.policy.prompting import Prompting, Turn
from harness.policy.rows import Row, Rows, logprobs
from harness.policy.source import locate
from harness.policy.text import Prompts
from harness.rng import generator
from harness.store.checksums import Damaged, compare, content_hash, file_hash, read_sealed, write_sealed
from harness.store.files import make_folder, remove_temporaries, write_atomically
from harness.store.run_dir import FORMAT
from harness.update.optimizer import BETAS, AdamW

BATCH_ROWS = 32
LEARNING = ("lr", "critic_lr", "critic", "value_coef", "schedule", "weight_decay", "gpus")
"""Options of the model that come into play after the warm start: arms that differ in them share it."""


def load_or_make(config: RunConfig, out: Path, ledger: Ledger) -> tuple[Policy, Prompting]:
    """The policy that a run starts from, on its device, and its prompts; books what a warm start cost."""
    policy, prompts = untrained(config)
    policy.to(Placement.of(config.model).device)  # type: ignore[arg-type]  # transformers wraps `to`
    if config.model.clone_updates:
        warm_start(policy, config, prompts, out, ledger)
    return policy, prompts


def untrained(config: RunConfig) -> tuple[Policy, Prompting]:
    """The policy as it is made or was published, and its prompts."""
    model, env = config.model, config.env
    if isinstance(model, PretrainedModel):
        # Imported late: the small policy needs nothing of transformers.
        from harness.policy.chat import chat_prompts

        folder = locate(model)
        policy = load_pretrained(model, folder, config.seed)
        return policy, chat_prompts(config, folder, policy.config.vocab_size)
    assert isinstance(model, TinyModel)
    prompts = Prompts(env)
    return new_policy(model, env, prompts.vocabulary_size, config.seed), prompts


def warm_start(policy: Policy, config: RunConfig, prompts: Prompting, out: Path, ledger: Ledger) -> None:
    """Give the policy the stored warm start of this (model, environment, seed), made first if need be."""
    plain = to_plain(config)
    model = {name: value for name, value in plain["model"].items() if name not in LEARNING}
    inputs = inputs_of(config.model, config.env)
    key = content_hash([FORMAT, config.env.version, model, plain["env"], inputs, config.seed])[:16]
    folder = out / "warmstarts" / f"{config.model.name}-{config.env.name}-s{config.seed}-{key}"
    make_folder(folder)
    try:
        cost = stored_cost(folder)
    except Damaged:
        cost = make_once(folder, policy, config, prompts)
    load_weights(policy, load_file(folder / "model.safetensors"))
    ledger.add(Phase.warm_start, cost["tokens"], cost["flops"])


def stored_cost(folder: Path) -> dict[str, Any]:
    """What the warm start in `folder` cost; raises `Damaged` if none is whole."""
    cost = read_sealed(folder / "cost.json")
    compare(folder / "model.safetensors", cost["sha256"])
    return cost


def make_once(folder: Path, policy: Policy, config: RunConfig, prompts: Prompting) -> dict[str, Any]:
    """Make the warm start, unless another process did while this one waited; returns its cost."""
    weights_path, cost_path = folder / "model.safetensors", folder / "cost.json"
    with turn(folder) as lease:
        try:
            return stored_cost(folder)
        except Damaged as damage:
            if cost_path.exists():
                print(f"warm start {folder.name} is damaged ({damage}): it is made again")
        remove_temporaries(weights_path)
        remove_temporaries(cost_path)
        cost = clone_random_play(policy, config, prompts)
        lease.check()
        write_atomically(weights_path, save(weights(policy)))
        sealed = {**cost, "sha256": file_hash(weights_path)}
        write_sealed(cost_path, sealed)
        return sealed


def clone_random_play(policy: Policy, config: RunConfig, prompts: Prompting) -> dict[str, int]:
    """Behaviour cloning of the uniform policy over valid actions; returns the tokens and operations spent.

    In every situation met in random play the target is the uniform distribution itself, not one draw from
    it, and every situation counts alike, so that rare ones (the goal in reach) are answered as well.
    """
    rows, weight_R = uniform_targets(config, prompts)
    model = config.model
    optimizer = AdamW(weight_decay=0.01)
    optimizer.add(policy.parameters(), model.clone_lr)
    forms, placement = closed_forms(policy, policy.config, lora_of(model)), Placement.of(model)
    cost = {"tokens": 0, "flops": 0}
    order = np.empty(0, dtype=np.int64)
    for update in range(model.clone_updates):
        if len(order) < BATCH_ROWS:
            order = np.append(order, generator(config.seed, "cloning order", update).permutation(len(rows)))
        chosen, order = order[:BATCH_ROWS], order[BATCH_ROWS:]
        drawn = with_thoughts([rows[i] for i in chosen], prompts, config.seed, update)
        batch = Rows.of(drawn)
        with placement.autocast(), checkpointed(policy):
            logprob_T, _ = logprobs(policy, batch)
        weight_T = torch.from_numpy(token_weights(drawn, weight_R[chosen], config.env.thought_tokens))
        (-(weight_T * logprob_T).sum() / weight_T.sum()).backward()
        rate, momentum = one_cycle(update, model.clone_updates)
        optimizer.groups[0].lr, optimizer.betas = rate * model.clone_lr, (momentum, BETAS[1])
        optimizer.step(model.grad_clip)
        cost["tokens"] += int(batch.length_R.sum())
        cost["flops"] += forms.train(batch.length_R)
    return cost


def one_cycle(update: int, updates: int) -> tuple[float, float]:
    """The learning rate, as a share of the highest, and AdamW's first beta in an update.

    One cycle (Smith & Topin 2018) with torch's numbers: in the first tenth the rate rises from 1/25 along a
    cosine and the beta falls from 0.95 to 0.85; then the beta goes back, and the rate down to 1/250,000.
    """
    # No warm-up for ten updates or fewer: a phase of one update has no length.
    risen = 0.1 * updates - 1 if updates > 10 else -1.0
    if update <= risen:
        return cosine(1 / 25, 1.0, update / risen), cosine(0.95, 0.85, update / risen)
    past = (update - risen) / (updates - 1 - risen)
    return cosine(1.0, 1 / 250_000, past), cosine(0.85, 0.95, past)


def cosine(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine, `share` of the way."""
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)


def with_thoughts(rows: list[Row], prompts: Prompting, seed: int, update: int) -> list[Row]:
    """The rows, uniform thoughts before each action: others in every update, so that none is learnt."""
    if not isinstance(prompts, Prompts) or not prompts.thought_tokens:
        return rows
    size = (len(rows), prompts.thought_tokens)
    drawn = generator(seed, "thoughts", update).integers(len(prompts.thought_ids), size=size)
    thoughts = np.array(prompts.thought_ids)[drawn].tolist()
    return [(prompt, (*said, *action)) for said, (prompt, action) in zip(thoughts, rows, strict=True)]


def token_weights(rows: list[Row], weight_R: NDArray[np.float32], thoughts: int) -> NDArray[np.float32]:
    """Each token's weight (T,) in the loss: its row's; a row's thoughts weigh together as much as one token.

    Thoughts are noise that nothing predicts. Were each to count, the action would be learnt too late.
    """
    lengths_R = [len(response) for _, response in rows]
    weight_T = np.repeat(weight_R, lengths_R)
    if thoughts:
        place_T = np.concatenate([np.arange(length) for length in lengths_R])
        weight_T[place_T < thoughts] /= thoughts
    return weight_T


def uniform_targets(config: RunConfig, prompts: Prompting) -> tuple[list[Row], NDArray[np.float32]]:
    """A row for every valid action of every situation met in random play, weighted 1 / valid actions."""
    situations: dict[tuple[int, ...], tuple[str, ...]] = {}
    panel = config.env.training_panel()
    environments = [config.env.make() for _ in panel]
    steps = episode = 0
    while steps < config.model.clone_steps:
        number = episode % len(panel)
        draw = generator(config.seed, "random play", episode)
        steps += play_randomly(environments[number], panel[number], prompts, draw, situations)
        episode += 1
    for environment in environments:
        environment.close()
    rows = [
        (prompt, prompts.response(action, actions))
        for prompt, actions in situations.items()
        for action in actions
    ]
    weights_R = [1 / len(actions) for actions in situations.values() for _ in actions]
    return rows, np.array(weights_R, dtype=np.float32)


def play_randomly(
    environment: Environment,
    task: Task,
    prompts: Prompting,
    draw: np.random.Generator,
    situations: dict[tuple[int, ...], tuple[str, ...]],
) -> int:
    """One episode of uniformly random valid actions; adds prompt -> valid actions and returns its steps."""
    observation, info = environment.reset(task, int(draw.integers(2**31)))
    past: list[Turn] = []
    over = False
    while not over:
        admissible = info.admissible
        situations[prompts.prompt(task.goal, past, observation, admissible)] = admissible
        action = admissible[int(draw.integers(len(admissible)))]
        past.append(Turn(observation, action, prompts.response(action, admissible), admissible))
        observation, _, terminated, truncated, info = environment.step(action)
        over = terminated or truncated
    return len(past)
