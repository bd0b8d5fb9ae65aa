"""The objective's gradient on a tiny model, in float64, against finite differences."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from algorithms.base import Credit
from algorithms.factors import Aggregation, KLEstimator, RatioUnit
from algorithms.grpo import GRPO
from algorithms.steppo import StepPO
from harness.config import TinyModel
from harness.policy.model import new_policy
from harness.policy.rows import Rows, logprobs, rows_of
from harness.records import Batch, Branch, Step, StopReason, Trajectory
from harness.update.loss import token_weights
from harness.update.minibatch import Minibatch
from harness.update.objective import Tokens, objective
from tests.harness.conftest import SPEC

VOCABULARY, END, LONGEST = 12, 1, 40
KLS = [(KLEstimator.none, 0.0), (KLEstimator.k2, 0.3), (KLEstimator.k3, 0.3)]
CLIPS = {RatioUnit.token: 0.1, RatioUnit.step: 0.04, RatioUnit.step_sqrt: 0.06, RatioUnit.sequence: 0.02}
"""Chosen so that some units are clipped and some are not (asserted)."""


@pytest.fixture(scope="module")
def policy():
    return new_policy(TinyModel(layers=1, width=8, heads=2), SPEC, VOCABULARY, seed=3).double()


@pytest.fixture(scope="module")
def trajectories() -> list[Trajectory]:
    """Four ragged trajectories; the last continues the first and shares its first step."""
    draw = np.random.default_rng(0)

    def step() -> Step:
        length = int(draw.integers(1, 4))
        return Step(
            prompt_ids=tuple(draw.integers(2, VOCABULARY, size=int(draw.integers(2, 6))).tolist()),
            response_ids=(*draw.integers(2, VOCABULARY, size=length).tolist(), END),
            logprob_L=np.zeros(length + 1, dtype=np.float32),
            entropy_L=np.zeros(length + 1, dtype=np.float32),
            observation="",
            action="",
            state_key=str(draw.integers(4)),
            reward=float(draw.normal()),
            valid=True,
        )

    roots = [[step() for _ in range(n)] for n in (3, 1, 2)]
    branch = [roots[0][0], step()]
    played = [
        Trajectory("t", 0, r, tuple(steps), False, StopReason.failed, 0.0) for r, steps in enumerate(roots)
    ]
    return [*played, Trajectory("t", 0, 3, tuple(branch), False, StopReason.failed, 0.0, Branch(0, 1, 0))]


class Case:
    """One mini-batch: what was sampled by a policy near this one, and credited at random."""

    def __init__(self, policy, trajectories, trained_N=None) -> None:
        batch = Batch.of(trajectories, end_id=END, vocabulary=VOCABULARY, seed=0)
        draw = np.random.default_rng(1)
        now_T, _ = logprobs(policy, Rows.of(rows_of([s for t in trajectories for s in t.steps])))
        old_T = now_T.detach().numpy() - draw.normal(0, 0.15, len(now_T))
        batch = replace(batch, logprob_T=old_T)
        credit = Credit(draw.normal(size=len(now_T)), trained_N=trained_N)
        self.minibatch = Minibatch.of(trajectories, batch, credit, np.ones(len(trajectories), dtype=bool))
        steps = [step for trajectory in self.minibatch.trajectories for step in trajectory.steps]
        self.rows = Rows.of(rows_of(steps))
        self.reference_T = torch.from_numpy(draw.normal(-2, 0.3, len(self.minibatch.step_T)))

    def loss(self, policy, algorithm, centre=None):
        """The objective and its metrics."""
        mine = self.minibatch
        weight_T = token_weights(
            algorithm.aggregation, mine.step_T, mine.trajectory_T, mine.counted_trajectories, LONGEST
        )
        tokens = Tokens(
            advantage_T=torch.from_numpy(mine.advantage_T),
            old_logprob_T=torch.from_numpy(mine.old_logprob_T),
            weight_T=torch.from_numpy(weight_T),
            step_T=torch.from_numpy(mine.step_T),
            trajectory_T=torch.from_numpy(mine.trajectory_T),
        )
        reference_T = self.reference_T if algorithm.kl_coef else None
        return objective(algorithm, tokens, *logprobs(policy, self.rows), reference_T, centre)

    def centre(self, policy):
        """The mini-batch's mean log-ratio, which the gradient treats as a constant."""
        with torch.no_grad():
            logprob_T, _ = logprobs(policy, self.rows)
            return (logprob_T - torch.from_numpy(self.minibatch.old_logprob_T)).mean()


def gradient(policy, loss) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, [p for p in policy.parameters() if p.requires_grad]))


def moved(policy, direction, distance) -> None:
    with torch.no_grad():
        for parameter, part in zip(policy.parameters(), direction, strict=True):
            parameter += distance * part


@pytest.mark.parametrize("kl", KLS, ids=lambda kl: kl[0].value)
@pytest.mark.parametrize(
    ("unit", "aggregation"), list(product(RatioUnit, Aggregation)), ids=lambda e: e.value
)
def test_gradient_agrees_with_finite_differences(policy, trajectories, unit, aggregation, kl):
    """Along random directions, (L(x + h v) - L(x - h v)) / 2h = g . v; the continuation is masked."""
    algorithm = GRPO(
        ratio_unit=unit,
        aggregation=aggregation,
        clip_low=CLIPS[unit],
        clip_high=CLIPS[unit],
        kl_estimator=kl[0],
        kl_coef=kl[1],
        entropy_coef=0.1,
    )
    case = Case(policy, trajectories, trained_N=np.array([True, True, True, False]))
    centre = case.centre(policy)
    loss, metrics = case.loss(policy, algorithm, centre)
    clipped = metrics["clip_fraction"] / len(case.minibatch.step_T)
    assert 0 < clipped < 1, "the case must hold clipped and unclipped rows"
    gradients = gradient(policy, loss)
    step = 1e-6
    for seed in range(3):
        torch.manual_seed(seed)
        direction = [torch.randn_like(part) for part in gradients]
        expected = sum(float((g * v).sum()) for g, v in zip(gradients, direction, strict=True))
        moved(policy, direction, step)
        above = float(case.loss(policy, algorithm, centre)[0].detach())
        moved(policy, direction, -2 * step)
        below = float(case.loss(policy, algorithm, centre)[0].detach())
        moved(policy, direction, step)
        assert (above - below) / (2 * step) == pytest.approx(expected, rel=2e-5, abs=1e-7)


def test_masked_continuations_have_no_gradient(policy, trajectories):
    """Whatever a continuation is credited with, the gradient is that of the roots at 1/M."""
    algorithm = GRPO(aggregation=Aggregation.seq_mean_token_mean, kl_estimator=KLEstimator.none, kl_coef=0.0)
    masked = Case(policy, trajectories, trained_N=np.array([True, True, True, False]))
    assert len(masked.minibatch.trajectories) == 3
    assert masked.minibatch.counted_trajectories == 4
    roots = Case(policy, trajectories[:3])
    tokens = len(roots.minibatch.step_T)
    np.testing.assert_array_equal(masked.minibatch.step_T, roots.minibatch.step_T)
    for name in ("advantage_T", "old_logprob_T"):
        column = getattr(masked.minibatch, name)
        assert len(column) == tokens
        object.__setattr__(roots.minibatch, name, column)
    with_mask = gradient(policy, masked.loss(policy, algorithm)[0])
    alone = gradient(policy, roots.loss(policy, algorithm)[0])
    for one, other in zip(with_mask, alone, strict=True):
        torch.testing.assert_close(one, other * 3 / 4, rtol=1e-12, atol=1e-14)


def test_a_clipped_step_is_not_trained(policy, trajectories):
    """StepPO: where every step's ratio is outside and on the side its credit asks for, the gradient is 0."""
    algorithm = StepPO(clip_low=0.01, clip_high=0.01)
    case = Case(policy, trajectories[:1])
    outside = np.where(case.minibatch.step_T % 2 == 0, 0.5, -0.5)
    with torch.no_grad():
        now_T = logprobs(policy, case.rows)[0].numpy()
    object.__setattr__(case.minibatch, "old_logprob_T", now_T - outside)
    object.__setattr__(case.minibatch, "advantage_T", outside)
    assert all(float(part.abs().max()) == 0 for part in gradient(policy, case.loss(policy, algorithm)[0]))
    object.__setattr__(case.minibatch, "advantage_T", -outside)
    assert any(float(part.abs().max()) > 0 for part in gradient(policy, case.loss(policy, algorithm)[0]))
