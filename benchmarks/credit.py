"""How long credit takes: every algorithm on 128 trajectories x 50 steps x 200 tokens, on one core.

    OMP_NUM_THREADS=1 python -m benchmarks.credit

Beside it, where there is one, the loop form of the published code: rows of one step each, padded to the
longest response, Python loops over tokens, steps or rows (our own re-implementation of that structure, in
torch, checked to give the same numbers before it is timed). Last, the state graph of 100,000 steps.

Shape suffixes: T tokens, S steps (the published codes' rows), N trajectories, L tokens of a row.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from algorithms.base import Algorithm
from algorithms.factors import Equations
from algorithms.g2po import graph_values
from algorithms.graphgpo import next_distances
from algorithms.hgpo import histories
from algorithms.shared.graph import StateGraph
from algorithms.shared.kl_reward import with_kl_in_reward
from harness.compose import compose_run
from harness.compose.composing import group_options
from harness.records import Batch

TRAJECTORIES, STEPS, TOKENS, GROUP, STATES = 128, 50, 200, 8, 40
REPEATS = 5


def synthetic(trajectories: int, steps: int, tokens: int) -> Batch:
    """Groups of 8 trajectories over 40 states, lengths 10 % about the mean, half of them solved."""
    draw = np.random.default_rng(0)
    steps_N = draw.integers(steps * 9 // 10, steps * 11 // 10 + 1, trajectories)
    total = int(steps_N.sum())
    tokens_S = draw.integers(tokens * 9 // 10, tokens * 11 // 10 + 1, total)
    count = int(tokens_S.sum())
    group_N = np.arange(trajectories) // GROUP
    group_S = np.repeat(group_N, steps_N)
    success_N = draw.random(trajectories) < 0.5
    reward_S = np.zeros(total)
    reward_S[np.cumsum(steps_N) - 1] = success_N
    return Batch(
        steps_N=steps_N,
        group_N=group_N,
        success_N=success_N,
        parent_N=np.full(trajectories, -1),
        branch_step_N=np.zeros(trajectories, dtype=np.int64),
        branch_token_N=np.zeros(trajectories, dtype=np.int64),
        tokens_S=tokens_S,
        reward_S=reward_S,
        state_S=group_S * STATES + draw.integers(0, STATES, total),
        valid_S=np.ones(total, dtype=bool),
        uniform_S=draw.random(total),
        logprob_T=-draw.exponential(size=count),
        entropy_T=draw.random(count),
        choice_T=np.ones(count, dtype=bool),
        value_T=draw.random(count),
        current_logprob_T=-draw.exponential(size=count),
        reference_logprob_T=-draw.exponential(size=count),
        true_advantage_S=draw.normal(size=total),
    )


class Rows:
    """The batch as the published codes hold it: one padded row a step."""

    def __init__(self, batch: Batch) -> None:
        self.trajectory_S = batch.trajectory_S.tolist()
        self.group_S = batch.group_S.tolist()
        self.state_S = batch.state_S.tolist()
        self.success_N = batch.success_N.tolist()
        longest = int(batch.tokens_S.max())
        self.mask_SL = torch.arange(longest) < torch.from_numpy(batch.tokens_S)[:, None]
        self.reward_SL = torch.zeros(self.mask_SL.shape)
        self.reward_SL[torch.arange(len(self.mask_SL)), torch.from_numpy(batch.tokens_S) - 1] = (
            torch.from_numpy(batch.reward_S).float()
        )
        assert batch.value_T is not None
        self.value_SL = torch.zeros(self.mask_SL.shape)
        self.value_SL[self.mask_SL] = torch.from_numpy(batch.value_T).float()

    def tokens(self, advantage_S: Tensor) -> Tensor:
        """A row's advantage on its tokens, (T,)."""
        return (advantage_S[:, None] * self.mask_SL)[self.mask_SL]


def whitened(x: Tensor) -> Tensor:
    return (x - x.mean()) / (x.std() + 1e-8)


def token_gae(rows: Rows, gamma: float, lam: float) -> Tensor:
    """The token loop: rows of a trajectory laid end to end, one turn a token, all trajectories at once."""
    members = defaultdict(list)
    for row, trajectory in enumerate(rows.trajectory_S):
        members[trajectory].append(row)
    rewards = [torch.cat([rows.reward_SL[r][rows.mask_SL[r]] for r in mine]) for mine in members.values()]
    values = [torch.cat([rows.value_SL[r][rows.mask_SL[r]] for r in mine]) for mine in members.values()]
    reward_NL = torch.nn.utils.rnn.pad_sequence(rewards, batch_first=True)
    value_NL = torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
    following, last, advantages = torch.zeros(len(members)), torch.zeros(len(members)), []
    for t in reversed(range(reward_NL.shape[1])):
        delta = reward_NL[:, t] + gamma * following - value_NL[:, t]
        last = delta + gamma * lam * last
        following = value_NL[:, t]
        advantages.append(last)
    advantage_NL = torch.stack(advantages[::-1], dim=1)
    return whitened(torch.cat([row[: len(mine)] for row, mine in zip(advantage_NL, rewards, strict=True)]))


def step_gae(rows: Rows, gamma: float, lam: float) -> Tensor:
    """The step loop: rows scattered into a table of trajectories x steps, one turn a step."""
    place: list[int] = []
    seen: defaultdict[int, int] = defaultdict(int)
    for trajectory in rows.trajectory_S:
        place.append(seen[trajectory])
        seen[trajectory] += 1
    reward = torch.zeros(len(seen), max(seen.values()))
    value = torch.zeros_like(reward)
    for row, (trajectory, step) in enumerate(zip(rows.trajectory_S, place, strict=True)):
        reward[trajectory, step] = (rows.reward_SL[row] * rows.mask_SL[row]).sum()
        value[trajectory, step] = rows.value_SL[row, 0]
    following, last = torch.zeros(len(seen)), torch.zeros(len(seen))
    advantage = torch.zeros_like(reward)
    for t in reversed(range(reward.shape[1])):
        delta = reward[:, t] + gamma * following - value[:, t]
        last = delta + gamma * lam * last
        following = value[:, t]
        advantage[:, t] = last
    return rows.tokens(whitened(advantage[rows.trajectory_S, place]))


def by_key(score_S: Tensor, keys: list[int]) -> Tensor:
    """(score - mean) / (std + 1e-6) with dictionaries of lists, row by row; a group of one gives 0."""
    members: defaultdict[int, list[Tensor]] = defaultdict(list)
    for row, key in enumerate(keys):
        members[key].append(score_S[row])
    mean, std = {}, {}
    for key, scores in members.items():
        mean[key] = torch.mean(torch.stack(scores))
        std[key] = torch.std(torch.stack(scores)) if len(scores) > 1 else torch.tensor(1.0)
    return torch.stack([(score_S[row] - mean[key]) / (std[key] + 1e-6) for row, key in enumerate(keys)])


def episode(rows: Rows) -> Tensor:
    """The episode term over step rows, as verl-agent runs it."""
    total = torch.zeros(len(rows.success_N))
    for row, trajectory in enumerate(rows.trajectory_S):
        total[trajectory] += rows.reward_SL[row].sum()
    return by_key(total[rows.trajectory_S], rows.group_S)


def returns(rows: Rows, gamma: float) -> Tensor:
    """Discounted reward to go of each row."""
    reward_S = rows.reward_SL.sum(-1)
    to_go = torch.zeros(len(reward_S))
    last = torch.tensor(0.0)
    for row in reversed(range(len(reward_S))):
        ends = row + 1 == len(reward_S) or rows.trajectory_S[row + 1] != rows.trajectory_S[row]
        last = reward_S[row] + (0.0 if ends else gamma * last)
        to_go[row] = last
    return to_go


def gigpo(rows: Rows, gamma: float) -> Tensor:
    return rows.tokens(episode(rows) + by_key(returns(rows, gamma), rows.state_S))


def g2po(rows: Rows, gamma: float) -> Tensor:
    to_go = gamma * returns(rows, gamma)
    visits: defaultdict[int, list[Tensor]] = defaultdict(list)
    for row, state in enumerate(rows.state_S):
        visits[state].append(to_go[row])
    value = {state: torch.mean(torch.stack(mine)) for state, mine in visits.items()}
    here = torch.stack([value[state] for state in rows.state_S])
    following = []
    for row, trajectory in enumerate(rows.trajectory_S):
        ends = row + 1 == len(here) or rows.trajectory_S[row + 1] != trajectory
        following.append(torch.tensor(float(rows.success_N[trajectory])) if ends else here[row + 1])
    after = torch.stack(following)
    node, edge = by_key(after, rows.state_S), by_key(after - here, rows.group_S)
    return rows.tokens(episode(rows) + node + edge)


REFERENCES: dict[str, Callable[[Rows, Algorithm], Tensor]] = {
    "ppo": lambda rows, a: token_gae(rows, a.gamma, a.lam),
    "steppo": lambda rows, a: step_gae(rows, a.gamma, a.lam),
    "grpo": lambda rows, a: rows.tokens(episode(rows)),
    "gigpo": lambda rows, a: gigpo(rows, a.gamma),
    "g2po": lambda rows, a: g2po(rows, a.gamma),
}
OVER_STEPS = ("grpo", "gigpo", "g2po")
"""Those whose published code takes the episode statistics over steps."""


def seconds(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """The fastest of some runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def fresh(batch: Batch) -> Batch:
    """The same columns without anything that an earlier call left cached."""
    return replace(batch)


def main() -> int:
    """Print the table; exit code 1 when an algorithm takes half a second or a loop disagrees."""
    torch.set_num_threads(1)
    batch = synthetic(TRAJECTORIES, STEPS, TOKENS)
    rows = Rows(batch)
    print(f"{len(batch.steps_N)} trajectories, {len(batch.tokens_S)} steps, {len(batch.logprob_T)} tokens\n")
    print("| algorithm | credit, s | published loop, s | ratio |\n|---|---:|---:|---:|")
    slow = []
    for name in group_options("algorithm"):
        algorithm = compose_run([f"algorithm={name}"]).algorithm
        mine = seconds(lambda a=algorithm: a.credit(with_kl_in_reward(fresh(batch), a)))
        slow += [name] if mine >= 0.5 else []
        if reference := REFERENCES.get(name):
            same = replace(algorithm, equations=Equations.released) if name in OVER_STEPS else algorithm
            advantage_T = torch.from_numpy(same.credit(batch).advantage_T).float()
            torch.testing.assert_close(reference(rows, algorithm), advantage_T, atol=2e-3, rtol=2e-3)
            loop = seconds(lambda r=reference, a=algorithm: r(rows, a), repeats=1)
            print(f"| {name} | {mine:.3f} | {loop:.2f} | {loop / mine:.0f} x |")
        else:
            print(f"| {name} | {mine:.3f} | | |")
    many = synthetic(2000, 50, 2)
    graph = seconds(lambda: state_graph(fresh(many)))
    print(f"\nstate graph of {len(many.state_S)} steps (values, distances, histories): {graph:.2f} s")
    if slow:
        print(f"0.5 s or more: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


def state_graph(batch: Batch) -> None:
    """All that any algorithm asks of it."""
    graph = StateGraph.of(batch, batch.state_S)
    graph_values(batch, graph, 0.95)
    next_distances(batch, graph)
    histories(batch, batch.state_S, 3)


if __name__ == "__main__":
    sys.exit(main())
