"""Exact values of the present policy, if an environment's situations can all be listed.

A situation is (observation, state key). The model gives the policy's probability of every admissible action
in every situation, word by word; all other responses are one invalid action. Dynamic programming over the
steps left then gives success probabilities without any sampling.

Shape suffixes: K situations, E edges (a situation and an action), S steps.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from envs.base import Environment, EnvironmentSpec, Task
from harness.errors import UserError
from harness.policy.gpt2 import Policy
from harness.policy.prompting import Prompting
from harness.policy.rows import Row, Rows, logprobs
from harness.records import Trajectory

Floats = NDArray[np.float64]
Situation = tuple[str, str]
MOST_SITUATIONS = 20_000
INVALID = ""
"""No response of a policy reads as this and is valid."""
ROWS = 512
"""Rows of one forward pass."""


@dataclass(frozen=True)
class Situations:
    """All situations of one task and what every action leads to."""

    number: dict[Situation, int]
    """The situations, numbered."""
    actions: list[tuple[str, ...]]
    """Admissible actions of each."""
    edge: dict[tuple[int, str], int]
    """Number of the edge of (situation, action); an invalid action is `INVALID`."""
    from_E: NDArray[np.int64]
    to_E: NDArray[np.int64]
    """Situation that the edge leads to; -1 for the end of the episode."""
    reward_E: Floats

    @staticmethod
    def of(spec: EnvironmentSpec, task: Task) -> "Situations":
        """List them breadth-first, on copies of the environment; raises `UserError` if there are too many."""
        environment = spec.make()
        observation, info = environment.reset(task)
        number: dict[Situation, int] = {(observation, info.state_key): 0}
        queue: list[tuple[Environment, tuple[str, ...], int]] = [(environment, info.admissible, 0)]
        actions: list[tuple[str, ...]] = []
        edges: list[tuple[int, str, int, float]] = []
        for source, (here, admissible, depth) in enumerate(queue):
            actions.append(admissible)
            if depth == spec.horizon:
                continue
            for action in (*admissible, INVALID):
                twin = here.copy()
                assert twin is not None, "an enumerable environment copies"
                after = twin.step(action)
                situation = (after.observation, after.info.state_key)
                if after.terminated:
                    edges.append((source, action, -1, after.reward))
                    continue
                if situation not in number:
                    number[situation] = len(number)
                    queue.append((twin, after.info.admissible, depth + 1))
                edges.append((source, action, number[situation], after.reward))
            if len(number) > MOST_SITUATIONS:
                raise UserError(
                    f"{task.id} has more than {MOST_SITUATIONS} situations: exact values (algorithm=oracle) "
                    "need a smaller environment"
                )
        return Situations(
            number=number,
            actions=actions,
            edge={(source, action): i for i, (source, action, _, _) in enumerate(edges)},
            from_E=np.array([source for source, _, _, _ in edges]),
            to_E=np.array([target for _, _, target, _ in edges]),
            reward_E=np.array([reward for _, _, _, reward in edges]),
        )

    def values(self, probability_E: Floats, horizon: int) -> Floats:
        """Expected reward (horizon + 1, K) with 0, 1, ... steps left."""
        value = np.zeros((horizon + 1, len(self.number)))
        for left in range(1, horizon + 1):
            outcome_E = self.reward_E + np.append(value[left - 1], 0.0)[self.to_E]
            value[left] = np.bincount(self.from_E, probability_E * outcome_E, len(self.number))
        return value


class TrueValues:
    """Exact values of policies on the tasks of an environment."""

    def __init__(self, spec: EnvironmentSpec, prompts: Prompting) -> None:
        self.spec, self.prompts = spec, prompts
        panels = (*spec.training_panel(), *spec.evaluation_panel())
        self._tasks = {task.id: task for task in panels}
        self._situations: dict[str, Situations] = {}

    def advantages(
        self,
        trajectories: Sequence[Trajectory],
        policy: Policy,
        book: Callable[[Rows], None],
    ) -> Floats:
        """Q - V (S,) of every step's action under `policy`; `book` is told of each forward pass."""
        by_task: dict[str, tuple[Situations, Floats]] = {}
        advantages = []
        for trajectory in trajectories:
            task = trajectory.task_id
            if task not in by_task:
                situations = self.situations(task)
                by_task[task] = situations, self.values(task, policy, book)
            advantages += self._of_steps(trajectory, *by_task[task])
        return np.array(advantages)

    def situations(self, task_id: str) -> Situations:
        """The situations of a task, listed once."""
        if task_id not in self._situations:
            self._situations[task_id] = Situations.of(self.spec, self._tasks[task_id])
        return self._situations[task_id]

    @torch.no_grad()
    def values(self, task_id: str, policy: Policy, book: Callable[[Rows], None]) -> Floats:
        """Success probability (horizon + 1, K) by steps left and situation."""
        situations, goal = self.situations(task_id), self._tasks[task_id].goal
        keys: list[tuple[int, str]] = []
        rows: list[Row] = []
        for (observation, _), source in situations.number.items():
            prompt = self.prompts.prompt(goal, (), observation)
            for action in situations.actions[source]:
                keys.append((source, action))
                rows.append((prompt, self.prompts.response(action)))
        probabilities = []
        for first in range(0, len(rows), ROWS):
            part = rows[first : first + ROWS]
            laid_out = Rows.of(part)
            lengths = torch.tensor([len(response) for _, response in part])
            sums = torch.segment_reduce(logprobs(policy, laid_out)[0].double(), "sum", lengths=lengths)
            probabilities += sums.exp().tolist()
            book(laid_out)
        probability_E = np.zeros(len(situations.from_E))
        for key, probability in zip(keys, probabilities, strict=True):
            if key in situations.edge:
                probability_E[situations.edge[key]] = probability
        valid_K = np.bincount(situations.from_E, probability_E, len(situations.number))
        for (source, action), edge in situations.edge.items():
            if action == INVALID:
                probability_E[edge] = max(0.0, 1.0 - valid_K[source])
        return situations.values(probability_E, self.spec.horizon)

    def _of_steps(self, trajectory: Trajectory, situations: Situations, value: Floats) -> list[float]:
        advantages = []
        for number, step in enumerate(trajectory.steps):
            left = self.spec.horizon - number
            here = situations.number[step.observation, step.state_key]
            edge = situations.edge[here, step.action if step.valid else INVALID]
            there = situations.to_E[edge]
            after = value[left - 1, there] if there >= 0 else 0.0
            advantages.append(float(situations.reward_E[edge] + after - value[left, here]))
        return advantages
