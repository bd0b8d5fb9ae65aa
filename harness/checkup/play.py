"""Whether the sweep's environments play here, and the engine's numbers are the model's."""

from collections.abc import Iterator, Sequence
from functools import partial

from envs.base import ClosedVocabulary, EnvironmentSpec
from harness.checkup.finding import Finding, fail, ok
from harness.config import RunConfig, TinyModel
from harness.errors import UserError
from harness.rollout.environments import Crash, answer

TOLERANCE = 1e-5
"""Nats between a log-probability as it was sampled and as training computes it."""
EPISODES = 4


def environments(cells: Sequence[RunConfig]) -> Iterator[Finding]:
    """Whether each environment can be imported and takes a step."""
    for env in dict.fromkeys(cell.env for cell in cells):
        try:
            tried = answer(partial(first_step, env))
        except UserError as error:
            tried = Crash(str(error))
        if isinstance(tried, Crash):
            yield fail("environment", f"{env.name}: {tried.reason}")
        else:
            yield ok("environment", f"{env.name} {env.version}: task {tried} starts and takes a step")


def first_step(env: EnvironmentSpec) -> str:
    """Begin the first training task and act once; its id."""
    env.check()
    task, environment = env.training_panel()[0], env.make()
    try:
        _, info = environment.reset(task)
        environment.step(info.admissible[0] if info.admissible else "")
    finally:
        environment.close()
    return task.id


def engine(cell: RunConfig) -> Iterator[Finding]:
    """Whether a fresh tiny model samples the same twice, and with the log-probabilities that training has."""
    import numpy as np
    import torch

    from harness.ledger import Ledger, Phase
    from harness.policy.model import closed_forms, new_policy
    from harness.policy.rows import Rows, logprobs, rows_of
    from harness.policy.text import Prompts
    from harness.rollout.account import Account
    from harness.rollout.environments import EnvironmentPool
    from harness.rollout.episodes import Episode, Player
    from harness.rollout.torch_engine import TorchEngine

    if not isinstance(cell.env, ClosedVocabulary):
        yield ok("engine", f"not tried: the tiny model of this check can't read {cell.env.name}")
        return
    torch.set_num_threads(1)
    env, prompts = cell.env, Prompts(cell.env)
    policy = new_policy(TinyModel(), env, prompts.vocabulary_size, seed=0)
    pool = EnvironmentPool(env)
    player = Player(
        TorchEngine(policy, prompts.end_id, env.max_prompt_tokens, env.longest_response), prompts, pool, 0
    )
    played = []
    for _ in range(2):
        episodes = [Episode(env.training_panel()[0], group=0, rollout=i, seed=i) for i in range(EPISODES)]
        player.play(episodes, "rollout", Account(Ledger(), closed_forms(policy, policy.config), Phase.decode))
        played.append([step for episode in episodes for step in episode.steps])
    pool.close()
    steps = played[0]
    with torch.no_grad():
        scored_T = logprobs(policy, Rows.of(rows_of(steps)))[0].numpy()
    apart = float(np.abs(scored_T - np.concatenate([step.logprob_L for step in steps])).max())
    if rows_of(steps) != rows_of(played[1]):
        yield fail(
            "engine", "the same random numbers gave other tokens: set OMP_NUM_THREADS=1, else report it"
        )
    elif not apart <= TOLERANCE:
        yield fail(
            "engine",
            f"sampled and trained log-probabilities are {apart:.1e} nats apart: report it, with the versions "
            "of torch and transformers",
        )
    else:
        yield ok(
            "engine",
            f"{len(scored_T)} sampled tokens, log-probabilities within {apart:.0e} nats of training's",
        )
